"""Stores of features, damaged and hostile, through `extract`, which goes on with one or verifies, `search`, `probe`."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.faults.case import Case, Write, copy
from tests.faults.corpus.bytes_of import flipped, no_files, strangers, truncated
from tests.faults.material import Material

__all__ = ["cases"]


def cases(good: Material) -> Iterator[Case]:
    """All of the kind."""
    store = good.store
    readers = {
        "verify": ("extract", "--output", "store", "--verify"),
        "search": ("search", "--store", "store", "--query", "a/0.png", "--output", "out/x.html"),
        "probe": ("probe", "--store", "store", "--labels", "folders", "--output", "out"),
        "extract": (
            "extract",
            "--config",
            str(good.features_config),
            "--input",
            str(good.pictures),
            "--output",
            "store",
        ),
    }
    header = json.loads((store / "store.json").read_bytes())
    for reader, words in readers.items():
        base = "good_verify" if reader != "probe" else "good_probe"
        yield Case(f"good_{reader}", words, copy(store, "store"), good=True)
        for name, text in _headers(header).items():
            yield Case(f"{reader}_json_{name}", words, _changed(store, "store.json", text, sign=True), like=base)
        for name, content in strangers():
            yield Case(f"{reader}_json_{name}", words, _changed(store, "store.json", content), like=base)
        for name, write in no_files("store/store.json"):
            yield Case(f"{reader}_json_{name}", words, _replaced(store, "store.json", write), like=base)
    search = readers["search"]
    for ending in ("parquet", "safetensors", "sha256"):
        name = f"00000.{ending}"
        data = (store / name).read_bytes()
        damaged = (*strangers(), *truncated(data, 8), *flipped(data, 10, seed=len(ending)))
        for kind, content in damaged:
            for reader in ("verify", "search") if ending != "sha256" else ("verify",):
                write = _changed(store, name, content, sign=reader == "search" and ending != "sha256")
                yield Case(f"{reader}_{ending}_{kind}", readers[reader], write, like=f"good_{reader}")
        for kind, write in no_files(f"store/{name}"):
            yield Case(f"search_{ending}_{kind}", search, _replaced(store, name, write), like="good_search")
            yield Case(f"verify_{ending}_{kind}", readers["verify"], _replaced(store, name, write), like="good_verify")
    for path in sorted(good.made("parquets", lambda folder: _write_tables(store / "00000.parquet", folder)).iterdir()):
        for reader in ("search", "probe"):
            write = _changed(store, "00000.parquet", path.read_bytes(), sign=True)
            yield Case(f"{reader}_table_{path.name}", readers[reader], write, like=f"good_{reader}")
    for name, query in {
        "absent": "x",
        "nul": "a\0",
        "escape": "\x1b[2J",
        "long": "x" * 100_000,
        "surrogate": "\udcff",
    }.items():
        yield Case(f"query_{name}", (*search[:4], query, *search[5:]), copy(store, "store"), like="good_search")
    for name, more in {
        "k_zero": ("--k", "0"),
        "k_huge": ("--k", "1" + "0" * 30),
        "vector": ("--vector", "\x1b"),
    }.items():
        yield Case(f"search_{name}", (*search, *more), copy(store, "store"), like="good_search")
    for number, text in enumerate(_SUMS):
        yield Case(
            f"verify_sums_{number}",
            readers["verify"],
            _changed(store, "00000.sha256", text.encode()),
            like="good_verify",
        )


_SUMS = [
    "0" * 64 + "  ../../../etc/passwd\n",
    "0" * 64 + "  /dev/zero\n",
    "0" * 64 + "  00000.sha256\n",
    ("0" * 64 + "  00000.parquet\n") * 50_000,
    "0" * 64 + "  \x1b[2J\n",
    "\n" * 1_000_000,
]


def _changed(store: Path, name: str, content: bytes, *, sign: bool = False) -> Write:
    """A copy of the store with another file, whose checksum may be made right: it is the content that is hostile."""

    def write(folder: Path) -> None:
        copy(store, "store")(folder)
        path = folder / "store" / name
        old = hashlib.sha256(path.read_bytes()).hexdigest()
        path.write_bytes(content)
        for sums in (folder / "store").glob("*.sha256") if sign else ():
            sums.write_text(sums.read_text().replace(old, hashlib.sha256(content).hexdigest()))

    return write


def _replaced(store: Path, name: str, make: Write) -> Write:
    def write(folder: Path) -> None:
        shutil.copytree(store, folder / "store")
        (folder / "store" / name).unlink()
        make(folder)

    return write


def _headers(header: dict[str, Any]) -> dict[str, bytes]:
    values: dict[str, list[Any]] = {
        "items": [10**12, 2**70, -1, 0, 0.5, "x", None, [1], 10**400],
        "items_per_shard": [10**12, 2**70, -1, 0, 0.5, "x", None],
        "format": [2, "1", None, [1], 10**400],
        "plan": ["", 3, None, "\x1b[2J", "x" * 10**6],
        "spec": [None, [], "x", {}, {"x": {"y": 1}}, 3],
    }
    found = {
        f"{name}_{number}": json.dumps({**header, name: value})
        for name, its in values.items()
        for number, value in enumerate(its)
    }
    spec = header["spec"]
    strange = {"model": "\x1b[2J<script>", "weights_sha256": 3, "package_version": ["x"], "FEATURES.MAPS": "=1"}
    found |= {f"spec_{name}": json.dumps({**header, "spec": {**spec, name: value}}) for name, value in strange.items()}
    found |= {f"without_{name}": json.dumps({k: v for k, v in header.items() if k != name}) for name in header}
    found["more"] = json.dumps({**header, "other": 1})
    found["deep"] = json.dumps(header)[:-1] + ', "other": ' + "[" * 50_000 + "]" * 50_000 + "}"
    found["deep_spec"] = json.dumps({**header, "spec": None}).replace("null", '{"x":' * 50_000 + "1" + "}" * 50_000)
    found["nan"] = json.dumps({**header, "items": float("nan")})
    found["twice"] = json.dumps(header)[:-1] + ', "items": 1}'
    return {name: text.encode() for name, text in found.items()}


def _write_tables(source: Path, folder: Path) -> None:
    """Write tables whose columns are others than a store's."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir()
    table = pq.read_table(source)
    rows = len(table)

    def other(name: str, values: Any, kind: pa.DataType | None = None) -> pa.Table:
        return table.set_column(table.schema.get_field_index(name), name, pa.array(values, kind))

    tables = {
        "no_rows": table.slice(0, 0),
        "no_columns": table.select([]),
        "ids_same": other("id", ["a/0.png"] * rows),
        "ids_null": other("id", [None] * rows, pa.string()),
        "ids_numbers": other("id", list(range(rows))),
        "ids_hostile": other("id", ["a/0.png", "=1+1", "<script>", "\x1b[2J\r\n"][:rows]),
        "paths_hostile": other("path", ["/dev/zero"] * rows),
        "paths_null": other("path", [None] * rows, pa.string()),
        "shards": other("shard", [2**40] * rows),
        "shards_text": other("shard", ["x"] * rows),
        "offsets": other("member", ["../x"] * rows),
        "twice": pa.concat_tables([table, table]),
        "more_columns": table.append_column("x", pa.array([1] * rows)),
        "vectors_ragged": other("mean", [[1.0] * (n + 1) for n in range(rows)]),
        "vectors_nan": other("mean", [[float("nan")] * 8] * rows),
        "vectors_text": other("mean", ["x"] * rows),
        "vectors_none": other("mean", [None] * rows, pa.list_(pa.float32())),
    }
    for name, its in tables.items():
        pq.write_table(its, folder / name)
    pq.write_table(pa.table({"id": pa.array(["x"] * 3_000_000).dictionary_encode()}), folder / "many_rows")
