"""Reading a store of features: a mapping from items' ids to their tensors."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError, safe_open
from torch import Tensor

from hiera_det.features.store.layout import (
    FAILED,
    MAPS,
    SPEC_COLUMNS,
    SUMS,
    TABLE,
    Failure,
    done_parts,
    read_failures,
    read_header,
    read_sums,
    shard_name,
)
from hiera_det.features.store.rows import (
    Features,
    is_vector,
    open_rows,
    read_index,
    row_vectors,
    stages_of,
    to_table,
)
from hiera_det.utils.regular import check_regular

__all__ = ["READ_ERRORS", "FeatureStore", "Features"]

logger = logging.getLogger(__name__)

READ_ERRORS = (OSError, ValueError, pa.ArrowException, SafetensorError)  # of a file that is missing or damaged
_OPEN = 4  # shards whose files stay open
_NAMED = 3  # ids that a message names
_ADVICE = "check the store with `hiera-det extract --output STORE --verify`"


class FeatureStore(Mapping[str, dict[str, Tensor]]):
    """A store of features on disk.

    ``store["id"]`` reads the maps ("res4": (C, H, W), of a clip (C, T, H, W)) and the vectors ("mean", "max",
    "logits": (D,); "roi": (N, D)) of that item alone. Tensors are of the store's type; only vectors of a bfloat16
    store come as float32, of the same values. The index of all items is held in memory, their features are not.

    A store that is not finished can be read too, as far as it goes.

    Args:
        root: folder of the store.

    Attributes:
        complete: whether the run that writes it has finished.
        index: a row per item, all columns but the vectors.
        spec: what the features were made with.

    Raises:
        FileNotFoundError: the folder is no store.
        ValueError: files of the store are missing or damaged; the message names one.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        header = read_header(self.root)
        self.spec: dict[str, Any] = dict(header.spec)
        self._files = {part: self._files_of(part) for part in sorted(done_parts(self.root))}
        self.complete = len(self._files) == header.shards
        if not self.complete:
            logger.warning("%s is not finished: %d of %d shards are there", root, len(self._files), header.shards)
        parts = [part for part, names in self._files.items() if shard_name(part, TABLE) in names]
        tables = [self._index(part) for part in parts]
        with _readable(self.root):
            self.index: pa.Table = pa.concat_tables(tables or [to_table(0, [], dict.fromkeys(SPEC_COLUMNS))])
        self._shards = dict(zip(parts, np.cumsum([0, *map(len, tables)])[:-1].tolist(), strict=True))  # first rows
        self._rows = {name: row for row, name in enumerate(self.index["id"].to_pylist())}
        if len(self._rows) != len(self.index):
            raise ValueError(f"{root} has ids twice; {_ADVICE}")
        self._open_table = lru_cache(_OPEN)(self._table)
        self._read_group = lru_cache(_OPEN)(self._group)
        self._open_maps = lru_cache(_OPEN)(self._maps)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    def __reduce__(self) -> tuple[type[FeatureStore], tuple[Path]]:
        return FeatureStore, (self.root,)  # a worker opens its own files

    def __getitem__(self, key: str) -> dict[str, Tensor]:
        return self.read(key, (*self.stages, *self.vector_names))

    @cached_property
    def stages(self) -> tuple[str, ...]:
        """Names of the maps, such as "res4"."""
        return stages_of(self.index.schema)

    @cached_property
    def vector_names(self) -> tuple[str, ...]:
        """Names of the vectors, such as "mean"."""
        if not self._shards:
            return ()
        return tuple(
            field.name for field in self._open_table(next(iter(self._shards))).schema_arrow if is_vector(field)
        )

    @cached_property
    def failed(self) -> list[Failure]:
        """The items that could not be read, in their order."""
        failures = []
        for part, names in self._files.items():
            if shard_name(part, FAILED) in names:
                path = self.root / shard_name(part, FAILED)
                with _readable(path):
                    failures += read_failures(path)
        return failures

    def read(self, key: str, names: Sequence[str]) -> dict[str, Tensor]:
        """Some maps and vectors of an item; the others are not read.

        Args:
            key: the item's id.
            names: such as "res4" and "mean".

        Returns:
            By name what ``store[key]`` gives.

        Raises:
            KeyError: there is no such item.
            ValueError: the store has no such maps or vectors, or the shard is damaged.
        """
        if key not in self._rows:
            raise KeyError(self._unknown(str(key)))
        if unknown := [name for name in names if name not in self.stages and name not in self.vector_names]:
            there = ", ".join((*self.stages, *self.vector_names)) or "none"
            raise ValueError(
                f"{self.root} has no maps or vectors {', '.join(map(repr, unknown))}; those there are: {there}"
            )
        row = self._rows[key]
        part = self.index["shard"][row].as_py()
        stages = [name for name in names if name in self.stages]
        vectors = tuple(sorted(set(names).difference(stages)))
        return {**self._read_maps(part, key, stages), **self._read_vectors(part, row - self._shards[part], vectors)}

    def vectors(self, name: str) -> tuple[list[str], np.ndarray]:
        """One vector of every item.

        Args:
            name: "mean", "max" or "logits".

        Returns:
            The N ids, and their vectors (N, D), float16 or float32 as they are stored.

        Raises:
            ValueError: the store has no such vectors, has several per item (read those item by item), or a shard is
                damaged.
        """
        if name not in self.vector_names:
            there = ", ".join(self.vector_names) or "none"
            raise ValueError(f"{self.root} has no vectors {name!r}; those there are: {there}")
        filled: np.ndarray | None = None
        for part, start in self._shards.items():
            path = self.root / shard_name(part, TABLE)
            with _readable(path), open_rows(path) as table:
                column = table.read(columns=[name], use_threads=False)[name].combine_chunks()
            if not pa.types.is_fixed_size_list(column.type):
                raise ValueError(f"{self.root} has several vectors {name!r} per item; read them item by item")
            rows = column.flatten().to_numpy().reshape(len(column), -1)  # (n, D)
            if filled is None:
                filled = np.empty((len(self), rows.shape[1]), rows.dtype)
            if rows.shape[1] != filled.shape[1]:
                there = f"{rows.shape[1]} numbers, expected {filled.shape[1]} as in the shards before it"
                raise ValueError(f"{path} has vectors {name!r} of {there}; {_ADVICE}")
            filled[start : start + len(rows)] = rows
        assert filled is not None
        return list(self), filled

    def _files_of(self, part: int) -> dict[str, str]:
        path = self.root / shard_name(part, SUMS)
        with _readable(path):
            return read_sums(path)

    def _index(self, part: int) -> pa.Table:
        path = self.root / shard_name(part, TABLE)
        with _readable(path):
            return read_index(path, part)

    def _table(self, part: int) -> pq.ParquetFile:
        path = self.root / shard_name(part, TABLE)
        with _readable(path):
            return open_rows(path)

    def _group(self, part: int, group: int, names: tuple[str, ...]) -> pa.Table:
        """A few rows around the wanted one: Parquet reads no single row."""
        table = self._open_table(part)
        with _readable(self.root / shard_name(part, TABLE)):
            return table.read_row_group(group, columns=list(names), use_threads=False)

    def _maps(self, part: int) -> safe_open:
        path = self.root / shard_name(part, MAPS)
        with _readable(path):
            check_regular(path)
            return safe_open(path, "pt")

    def _read_maps(self, part: int, key: str, stages: Sequence[str]) -> dict[str, Tensor]:
        if not stages:
            return {}
        maps = self._open_maps(part)
        with _readable(self.root / shard_name(part, MAPS)):
            return {stage: maps.get_tensor(f"{key}/{stage}") for stage in stages}

    def _read_vectors(self, part: int, row: int, names: tuple[str, ...]) -> dict[str, Tensor]:
        if not names:
            return {}
        group, inside = divmod(row, self._open_table(part).metadata.row_group(0).num_rows)
        return row_vectors(self._read_group(part, group, names).slice(inside, 1))

    def _unknown(self, key: str) -> str:
        for failure in self.failed:
            if failure.id == key:
                return f"{key!r} could not be read when features were extracted: {failure.reason}"
        parts = [name for name in self if key and (key in name or name in key)]
        starts = heapq.nlargest(_NAMED, self, key=lambda name: _shared_start(name, key))
        named = ", ".join(map(repr, list(dict.fromkeys([*parts, *starts]))[:_NAMED])) or "none"
        return f"{key!r} is not among the {len(self)} ids of {self.root}; ids most like it: {named}"


def _shared_start(one: str, other: str) -> int:
    """How many characters two names have in common before they differ."""
    return next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), len(one))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what readers raise over a missing or damaged file into a ValueError that names it."""
    try:
        yield
    except READ_ERRORS as error:
        first = (str(error) or repr(error)).splitlines()[0]
        raise ValueError(f"{path} cannot be read ({first}); {_ADVICE}") from error
