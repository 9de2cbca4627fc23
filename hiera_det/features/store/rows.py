"""Features of items as rows of a Parquet table, and back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from hiera_det.features.store.layout import SPEC_COLUMNS
from hiera_det.inputs.items import Item
from hiera_det.utils.regular import check_regular

__all__ = [
    "Features",
    "is_vector",
    "maps_sum",
    "open_rows",
    "read_index",
    "row_vectors",
    "stages_of",
    "to_table",
    "write_rows",
]

_BASE = {"id": pa.string(), "path": pa.string(), "member": pa.string(), "time": pa.float64()}
_SIZE = {"height": pa.int32(), "width": pa.int32()}
_ROWS_PER_GROUP = 32  # that are read together: one item costs half a millisecond
_STRIDE = "_stride"
_MAY_LACK = ("time", "maps_sha256")  # columns
_MOST_VALUES = 32  # for each byte: of vectors of zeros, which compress best, there are some ten
_KINDS = {torch.float16: torch.float16, torch.bfloat16: torch.float32, torch.float32: torch.float32}


@dataclass
class Features:
    """What was taken of one item: CPU tensors, in the store's type.

    Args:
        item: the item.
        height: of the image or the clip's frames as decoded, in pixels.
        width: the same.
        maps: by stage, "res4": (C, H, W), of a clip (C, T, H, W).
        strides: by stage, pixels of what the model saw per position.
        vectors: "mean", "max", "logits": (D,); "roi": (N, D), a row per box of the item.
    """

    item: Item
    height: int
    width: int
    maps: dict[str, Tensor]
    strides: dict[str, int]
    vectors: dict[str, Tensor]


def to_table(index: int, features: Sequence[Features], spec: Mapping[str, Any]) -> pa.Table:
    """Make a shard's table, a row per item.

    Vectors are columns of their own names, of fixed-size lists; several vectors per item ("roi") a list of those.
    float16 and float32 stay as they are; bfloat16, which Parquet does not know, becomes float32.

    Args:
        index: of the shard.
        features: of its items, of the same stages and vectors all.
        spec: of the store, for the columns of `SPEC_COLUMNS`.

    Raises:
        ValueError: items differ in stages, in vectors or in a vector's length, or a vector is of another type.
    """
    columns = {
        **{name: pa.array([getattr(one.item, name) for one in features], kind) for name, kind in _BASE.items()},
        **{name: pa.array([getattr(one, name) for one in features], kind) for name, kind in _SIZE.items()},
        "shard": pa.array([index] * len(features), pa.int32()),
        "maps_sha256": pa.array([maps_sum(one.maps) if one.maps else None for one in features], pa.string()),
        **{name: pa.array([spec[name]] * len(features), pa.string()) for name in SPEC_COLUMNS},
    }
    for stage in _common("stages", [one.maps for one in features]):
        sizes = [(one.strides[stage], *one.maps[stage].shape[-2:]) for one in features]
        for name, numbers in zip(("stride", "height", "width"), zip(*sizes, strict=True), strict=True):
            columns[f"{stage}_{name}"] = pa.array(numbers, pa.int32())
    for name in _common("vectors", [one.vectors for one in features]):
        columns[name] = _vector_column(name, [one.vectors[name] for one in features])
    return pa.table(columns)


def maps_sum(maps: Mapping[str, Tensor]) -> str:
    """SHA-256, in hex, over the bytes of one item's maps in the order of their names."""
    total = hashlib.sha256()
    for _, values in sorted(maps.items()):
        total.update(values.contiguous().flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()


def is_vector(field: pa.Field) -> bool:
    """Whether a column holds vectors."""
    return pa.types.is_fixed_size_list(field.type) or pa.types.is_list(field.type)


def stages_of(schema: pa.Schema) -> tuple[str, ...]:
    """Names of the maps that a table's rows tell of."""
    return tuple(name.removesuffix(_STRIDE) for name in schema.names if name.endswith(_STRIDE))


def write_rows(path: Path, table: pa.Table) -> None:
    """Write a shard's table; the same table gives the same bytes."""
    words = [field.name for field in table.schema if not is_vector(field)]
    pq.write_table(table, path, row_group_size=_ROWS_PER_GROUP, use_dictionary=words, write_statistics=words)


def open_rows(path: Path) -> pq.ParquetFile:
    """Open a shard's table; columns that are the same in all rows come as dictionaries, which take no memory.

    Raises:
        OSError, pyarrow.ArrowException: it cannot be read.
        ValueError: it has other columns than :func:`to_table` gives, or says to be far larger than the file.
    """
    check_regular(path)
    try:
        rows = pq.ParquetFile(path, memory_map=True, read_dictionary=list(SPEC_COLUMNS))
    except KeyError as error:
        raise ValueError(f"it has no column {error.args[0]!r:.40}") from error
    try:
        _check_columns(rows.schema_arrow)
        _check_sizes(rows.metadata, path.stat().st_size)
    except ValueError:
        rows.close()
        raise
    return rows


def _check_columns(schema: pa.Schema) -> None:
    words = {name: pa.dictionary(pa.int32(), pa.string()) for name in SPEC_COLUMNS}
    wanted = {**_BASE, **_SIZE, "shard": pa.int32(), "maps_sha256": pa.string(), **words}
    sizes = [f"{stage}_{side}" for stage in stages_of(schema) for side in ("height", "width")]
    wanted |= dict.fromkeys([*sizes, *(f"{stage}{_STRIDE}" for stage in stages_of(schema))], pa.int32())
    there = {field.name: field.type for field in schema if not is_vector(field)}
    if there != wanted:
        wrong = sorted(name for name in there.keys() | wanted.keys() if there.get(name) != wanted.get(name))
        raise ValueError(f"its columns {', '.join(wrong)!r:.80} are not as in a store")
    for field in filter(is_vector, schema):
        kind = field.type.value_type if pa.types.is_list(field.type) else field.type
        if not pa.types.is_fixed_size_list(kind) or kind.value_type not in (pa.float16(), pa.float32()):
            raise ValueError(f"its column {field.name!r:.40} holds no vectors of float16 or float32")
        if kind.list_size < 1:
            raise ValueError(f"its column {field.name!r:.40} holds vectors without numbers")


def _check_sizes(metadata: pq.FileMetaData, size: int) -> None:
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    counts = [group.num_rows for group in groups]
    if sum(counts) != metadata.num_rows or any(count != counts[0] for count in counts[:-1]) or 0 in counts:
        raise ValueError(f"its {metadata.num_rows} rows are in groups of several sizes")
    values = sum(group.column(index).num_values for group in groups for index in range(group.num_columns))
    if values > _MOST_VALUES * size:
        raise ValueError(f"it names {values} values in {size} bytes")


def read_index(path: Path, index: int) -> pa.Table:
    """Read a shard's table without its vectors.

    Raises:
        OSError, pyarrow.ArrowException, ValueError: as of :func:`open_rows`, or it is another shard's, or values lack.
    """
    with open_rows(path) as rows:
        names = [field.name for field in rows.schema_arrow if not is_vector(field)]
        table = rows.read(columns=names, use_threads=False)  # pyarrow's threads end the process on some damaged files
    if lacking := [name for name in table.column_names if name not in _MAY_LACK and table[name].null_count]:
        raise ValueError(f"its columns {', '.join(lacking)} lack values")
    if set(table["shard"].unique().to_pylist()) - {index}:
        raise ValueError("it is the table of another shard")
    return table


def row_vectors(row: pa.Table) -> dict[str, Tensor]:
    """The vectors of a table of one row: (D,) each, or (N, D)."""
    return {field.name: _row_vector(row[field.name].combine_chunks()) for field in row.schema if is_vector(field)}


def _row_vector(column: pa.Array) -> Tensor:
    if pa.types.is_fixed_size_list(column.type):
        return torch.from_numpy(column.flatten().to_numpy().copy())  # (D,)
    inner = column.flatten()
    return torch.from_numpy(inner.flatten().to_numpy().reshape(-1, inner.type.list_size).copy())  # (N, D)


def _vector_column(name: str, vectors: Sequence[Tensor]) -> pa.Array:
    shapes = {(*one.shape[-1:], one.ndim) for one in vectors}
    kinds = {one.dtype for one in vectors}
    if len(shapes) > 1 or len(kinds) > 1 or not kinds <= set(_KINDS) or vectors[0].ndim not in (1, 2):
        raise ValueError(
            f"vectors {name!r} come with (length, dimensions) {sorted(shapes)} of {sorted(map(str, kinds))}; expected"
            " one length, 1 or 2 dimensions, and one of float16, bfloat16 and float32"
        )
    rows = torch.cat([one.reshape(-1, one.shape[-1]) for one in vectors]).to(_KINDS[vectors[0].dtype])  # (N, D)
    column = pa.FixedSizeListArray.from_arrays(pa.array(rows.flatten().numpy()), rows.shape[1])
    if vectors[0].ndim == 1:
        return column
    ends = np.cumsum([0, *(len(one) for one in vectors)])
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), column)


def _common(name: str, dicts: Sequence[Mapping[str, Tensor]]) -> list[str]:
    kinds = {tuple(sorted(one)) for one in dicts}
    if len(kinds) > 1:
        raise ValueError(f"items of one shard differ in their {name}: {sorted(kinds)}; expected the same in all")
    return list(kinds.pop()) if kinds else []
