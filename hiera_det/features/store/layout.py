"""Names and layout of a store's files, and the text files among them."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from hiera_det.utils.escape import cell, from_cell
from hiera_det.utils.json_text import read_json_object
from hiera_det.utils.text import read_text, text_lines

__all__ = [
    "FAILED",
    "HEADER",
    "HEADER_SUMS",
    "MAPS",
    "SPEC_COLUMNS",
    "SUMS",
    "TABLE",
    "Failure",
    "Header",
    "all_failures",
    "done_parts",
    "failures_text",
    "read_failures",
    "read_header",
    "read_sums",
    "shard_name",
    "sums_text",
]

FORMAT = 1
HEADER = "store.json"
HEADER_SUMS = "store.sha256"
FAILED = "failed.csv"  # of the whole store, and behind a dot the ending of a shard's
MAPS = "safetensors"
TABLE = "parquet"
SUMS = "sha256"  # it makes the shard exist
SPEC_COLUMNS = ("package_version", "model", "weights_sha256")  # the same in all rows, from the store's spec


class Failure(NamedTuple):
    """An item that could not be read."""

    id: str
    path: str
    reason: str


@dataclass(frozen=True)
class Header:
    """What ``store.json`` says.

    Args:
        spec: what the features were made with.
        items: of the whole store, with those that fail.
        items_per_shard: of every shard but the last, which may hold fewer.
        plan: digest of the items in their order.
    """

    spec: Mapping[str, Any]
    items: int
    items_per_shard: int
    plan: str

    @property
    def shards(self) -> int:
        """How many shards the finished store has."""
        return -(-self.items // self.items_per_shard)

    def items_of(self, index: int) -> int:
        """How many items a shard stands for, with those that fail."""
        return min(self.items_per_shard, self.items - index * self.items_per_shard)

    @property
    def text(self) -> str:
        """What the file holds."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=2, sort_keys=True, allow_nan=False) + "\n"


def read_header(root: str | Path) -> Header:
    """Read a store's ``store.json``.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged, or of another format.
    """
    path = Path(root) / HEADER
    if not path.is_file():
        raise FileNotFoundError(f"{root} is no store of features: it has no {HEADER}; give the folder of an extraction")
    try:
        return _header(read_json_object(path))
    except ValueError as error:
        raise ValueError(f"{path} cannot be read ({error}); put back a copy of it, or extract anew") from error


def _header(fields: dict[str, Any]) -> Header:
    version = fields.pop("format", None)
    if version != FORMAT:
        raise ValueError(f"it is of format {version!r:.40}, and this version of hiera_det reads format {FORMAT}")
    expected = Header.__dataclass_fields__
    if fields.keys() != expected.keys():
        raise ValueError(f"it has the fields {', '.join(fields)!r:.200}, expected {', '.join(expected)}")
    header = Header(**fields)
    for name, lowest in (("items", 0), ("items_per_shard", 1)):
        value = fields[name]
        if type(value) is not int or value < lowest:
            raise ValueError(f"{name} is {value!r:.40}, expected an integer from {lowest}")
    if not isinstance(header.plan, str) or not isinstance(header.spec, dict):
        raise ValueError("expected text as its plan and an object as its spec")
    for name in SPEC_COLUMNS:
        if not isinstance(header.spec.get(name), str):
            raise ValueError(f"its spec has no text {name!r}")
    values = header.spec.get("INPUT.PIXEL_RANGE", [])
    if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
        raise ValueError(f"INPUT.PIXEL_RANGE is {values!r:.40}, expected a list of numbers")
    return header


def shard_name(index: int, ending: str) -> str:
    """Name of one of a shard's files, by its ending without the dot."""
    return f"{index:05d}.{ending}"


def done_parts(root: str | Path) -> set[int]:
    """The parts of the plan whose shards are there."""
    names = (re.fullmatch(rf"(\d{{5,}})\.{SUMS}", path.name) for path in Path(root).iterdir())
    return {int(name[1]) for name in names if name and name[0] == shard_name(int(name[1]), SUMS)}


def sums_text(sums: Mapping[str, str]) -> str:
    """Checksums by name of file, as ``sha256sum -c`` reads them."""
    return "".join(f"{digest}  {name}\n" for name, digest in sums.items())


def read_sums(path: Path) -> dict[str, str]:
    """Checksums by name of file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds something else.
    """
    text = read_text(path)
    sums = {name: digest for digest, name in re.findall(r"([0-9a-f]{64})  ([\w.]+)\n", text, re.ASCII)}
    if not sums or sums_text(sums) != text:
        raise ValueError(f"{path} is damaged: it does not hold lines as sha256sum writes them")
    return sums


def failures_text(failures: Iterable[Failure]) -> str:
    """Failures as CSV, with the fields' names as header; it is safe to open in a spreadsheet."""
    rows = [Failure._fields, *([cell(value) for value in failure] for failure in failures)]
    return "".join(map(_csv_line, rows))


def _csv_line(row: Sequence[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(row)  # which quotes what has either of the two
    return text.getvalue().removesuffix("\r\n") + "\n"


def read_failures(path: Path) -> list[Failure]:
    """Read what `failures_text` wrote.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds something else.
    """
    try:
        header, *rows = csv.reader(text_lines(path), strict=True)
        if tuple(header) != Failure._fields:
            raise ValueError(f"its header is {','.join(header)!r:.80}")
        if any(len(row) != len(header) for row in rows):
            raise ValueError(f"a row has other columns than {','.join(header)}")
        return [Failure(*map(from_cell, row)) for row in rows]
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def all_failures(root: str | Path) -> Iterator[Failure]:
    """The items of the finished shards that could not be read, in their order.

    Raises:
        ValueError: a shard's list of them is damaged.
    """
    for index in sorted(done_parts(root)):
        path = Path(root) / shard_name(index, FAILED)
        if path.exists():
            yield from read_failures(path)
