"""Stores that say of themselves what is not so: one line, at once."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hiera_det.features.store import FeatureStore
from hiera_det.features.store.layout import Failure, failures_text, read_failures, sums_text
from hiera_det.features.store.rows import open_rows
from hiera_det.features.store.verify import verify_store
from hiera_det.utils.files import file_sum
from tests.utils.hostile_names import HOSTILE_NAMES


def change(store, **fields) -> None:
    header = json.loads((store / "store.json").read_text())
    (store / "store.json").write_text(json.dumps({**header, **fields}))


@pytest.mark.parametrize("items", [10**12, 2**62])
def test_more_items_than_can_be(store, items):
    change(store, items=items)
    assert not FeatureStore(store).complete
    change(store, items=items, items_per_shard=1)
    problems = verify_store(store)
    assert any(f"of {items} shards are not there (00003.sha256, " in problem for problem in problems)
    change(store, items=items, items_per_shard=items)
    assert any("3 items and 0 failed; expected" in problem for problem in verify_store(store))


@pytest.mark.parametrize(
    "fields",
    [
        {"items": 10**400},
        {"items": -1},
        {"items": True},
        {"items": 7.0},
        {"items": "7"},
        {"items": None},
        {"items_per_shard": 0},
        {"items_per_shard": -3},
        {"items_per_shard": 1e400},
        {"plan": 3},
        {"spec": []},
        {"spec": {}},
        {"spec": {"model": 3, "weights_sha256": "", "package_version": ""}},
        {"spec": {"model": "", "weights_sha256": "", "package_version": "", "INPUT.PIXEL_RANGE": "ab"}},
        {"spec": {"model": "\ud800", "weights_sha256": "", "package_version": ""}},
        {"format": [1]},
        {"another": 1},
        {"spec": [[[0] * 3] * 3] * 3},
    ],
)
def test_a_header_of_another_form(store, fields):
    change(store, **fields)
    with pytest.raises(ValueError, match=r"store\.json.* cannot be read") as caught:
        FeatureStore(store)
    assert len(str(caught.value)) < 600 and "\n" not in str(caught.value)
    assert str(caught.value) in verify_store(store)


@pytest.mark.parametrize("text", ["[" * 10**5, "[1]", "{}", "", "\0", '{"format": ' * 2000 + "1" + "}" * 2000])
def test_a_header_that_is_no_object(store, text):
    (store / "store.json").write_text(text)
    with pytest.raises(ValueError, match=r"store\.json"):
        FeatureStore(store)


def rewrite(store, change_table, **options) -> None:
    """Change the first shard's table, and its checksums."""
    path = store / "00000.parquet"
    pq.write_table(change_table(pq.read_table(path)), path, **{"row_group_size": 32, **options})
    names = [f"00000.{ending}" for ending in ("failed.csv", "parquet", "safetensors")]
    (store / "00000.sha256").write_text(sums_text({name: file_sum(store / name) for name in names}))


def zeros(count: int, width: int) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.nulls(count * width, pa.float16()).fill_null(0), width)


TABLES = {
    "no id": lambda table: table.drop_columns("id"),
    "ids are numbers": lambda table: table.set_column(0, "id", pa.array(range(len(table)))),
    "ids are missing": lambda table: table.set_column(0, "id", pa.nulls(len(table), pa.string())),
    "of another shard": lambda table: table.set_column(
        table.schema.get_field_index("shard"), "shard", pa.array([7] * len(table), pa.int32())
    ),
    "vectors of text": lambda table: table.append_column("x", pa.array([["a"]] * len(table))),
    "a further column": lambda table: table.append_column("x", pa.array(range(len(table)))),
    "vectors of a billion zeros": lambda table: table.append_column("x", zeros(len(table), 10_000_000)),
    "no rows": lambda table: table.slice(0, 0),
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_of_another_form(store, kind):
    rewrite(store, TABLES[kind])
    if kind != "no rows":
        with pytest.raises(ValueError, match=r"00000\.parquet cannot be read .*--verify"):
            FeatureStore(store)
    assert verify_store(store)


def test_rows_in_groups_of_several_sizes(store):
    rewrite(store, lambda table: pa.concat_tables([table, table]).slice(0, 3), row_group_size=2)
    rewrite(store, lambda table: table, row_group_size=32)
    path = store / "00000.parquet"
    table = pq.read_table(path)
    with pq.ParquetWriter(path, table.schema) as writer:
        for size in (1, len(table) - 1, len(table)):
            writer.write_table(table.slice(0, size))
    with pytest.raises(ValueError, match="in groups of several sizes"):
        FeatureStore(store)


def test_vectors_of_another_length_in_a_shard(store):
    def longer(table):
        return table.set_column(table.schema.get_field_index("mean"), "mean", zeros(len(table), 9))

    rewrite(store, longer)
    with pytest.raises(ValueError, match=r"0000\d\.parquet has vectors 'mean' of \d numbers, expected"):
        FeatureStore(store).vectors("mean")


def test_failures_are_safe_to_open_and_are_read_again(tmp_path):
    failures = [Failure(name, f"/data/{name}", f"{name} is empty") for name in (*HOSTILE_NAMES, "'=x", "''@x", "-1")]
    path = tmp_path / "failed.csv"
    path.write_text(failures_text(failures), encoding="utf-8", newline="")
    assert read_failures(path) == failures
    assert failures_text(read_failures(path)).encode() == path.read_bytes()
    lines = path.read_text(encoding="utf-8").splitlines()
    assert not any(line.lstrip('"').startswith(("=", "+", "@", "\t")) for line in lines)


@pytest.mark.parametrize(
    "content", [b"id,path,reason\n" + b"x" * 200_000, b'id,path,reason\n"a,b\n', b"id,path,reason\na\n"]
)
def test_failures_of_another_form(tmp_path, content):
    path = tmp_path / "failed.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"failed\.csv is damaged"):
        read_failures(path)


def test_a_table_without_the_columns_of_the_spec(tmp_path):
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"it has no column b?'package_version'"):
        open_rows(tmp_path / "x.parquet")
