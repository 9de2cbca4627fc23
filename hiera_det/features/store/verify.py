"""Whether a store is what was written: its checksums, and that its shards hold each item once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import pyarrow as pa
from safetensors import safe_open

from hiera_det.features.store.layout import (
    FAILED,
    HEADER,
    HEADER_SUMS,
    MAPS,
    SUMS,
    TABLE,
    Header,
    done_parts,
    failures_text,
    read_failures,
    read_header,
    read_sums,
    shard_name,
    sums_text,
)
from hiera_det.features.store.reader import READ_ERRORS
from hiera_det.features.store.rows import maps_sum, read_index, stages_of
from hiera_det.utils.files import file_sum
from hiera_det.utils.regular import check_regular, read_regular

__all__ = ["verify_store"]

_AGAIN = "run the extraction again to go on"
_NAMED = 5  # ids or files that a line names


def verify_store(root: str | Path) -> list[str]:
    """Compare a store's files with their checksums, and what its shards hold with what they should.

    Memory is bounded by the ids and one item's maps.

    Returns:
        Problems, one line each; none of a store that is finished and sound.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"there is no folder {root}; give the folder of an extraction")
    try:
        header, problems = read_header(root), []
    except (OSError, ValueError) as error:
        header, problems = None, [_line(error)]
    done = sorted(done_parts(root))
    if header is not None:
        problems += [*_check_header(root, header), *_check_parts(root, header, done)]
    ids: Counter[str] = Counter()
    for index in done:
        problems += _check_shard(root, index, header, ids)
    twice = [name for name, count in ids.items() if count > 1]
    if twice:
        problems.append(f"{root}: {len(twice)} ids are there more than once: {_some(twice)}")
    if header is not None and len(done) == header.shards:
        problems += _check_failed(root, done)
    return problems


def _check_header(root: Path, header: Header) -> Iterator[str]:
    path = root / HEADER
    if not (root / HEADER_SUMS).is_file():
        yield f"{root / HEADER_SUMS} is missing; {_AGAIN}"
    elif read_regular(root / HEADER_SUMS) != sums_text({HEADER: file_sum(path)}).encode():
        yield f"{path} and its checksum in {HEADER_SUMS} differ: one of the two has changed"


def _check_parts(root: Path, header: Header, done: Sequence[int]) -> Iterator[str]:
    extra = [shard_name(index, SUMS) for index in done if index >= header.shards]
    count = header.shards - len(done) + len(extra)
    if count:
        there = set(done)
        missing = (shard_name(index, SUMS) for index in range(header.shards) if index not in there)
        first = list(islice(missing, _NAMED + 1))  # a header may speak of any number
        yield f"{root}: {count} of {header.shards} shards are not there ({_some(first)}); {_AGAIN}"
    if extra:
        yield f"{root}: {len(extra)} shards are more than {header.items} items need: {_some(extra)}"


def _check_shard(root: Path, index: int, header: Header | None, ids: Counter[str]) -> Iterator[str]:
    """Problems of one shard, whose ids are counted."""
    try:
        sums = read_sums(root / shard_name(index, SUMS))
    except (OSError, ValueError) as error:
        yield _line(error)
        return
    maps, table, failed = (root / shard_name(index, ending) for ending in (MAPS, TABLE, FAILED))
    problems = {path: _file_problem(path, sums) for path in (maps, table, failed)}
    yield from filter(None, problems.values())
    if problems[table] or problems[failed]:
        return  # what is damaged is not read: that need not end well
    try:
        failures = read_failures(failed) if failed.name in sums else []
        rows = read_index(table, index) if table.name in sums else None
        names = rows["id"].to_pylist() if rows is not None else []
        ids.update([*names, *(failure.id for failure in failures)])
        if header is not None and len(names) + len(failures) != header.items_of(index):
            yield (
                f"shard {index} of {root}: {len(names)} items and {len(failures)} failed; expected"
                f" {max(header.items_of(index), 0)} together"
            )
        if rows is not None and (stages := stages_of(rows.schema)):
            yield from _check_maps(maps, rows, stages)
    except READ_ERRORS as error:
        yield f"shard {index} of {root} cannot be read: {_line(error)}"


def _file_problem(path: Path, sums: dict[str, str]) -> str | None:
    if path.name not in sums:
        return f"{path} is there, but not among the shard's checksums" if path.exists() else None
    try:
        return None if file_sum(path) == sums[path.name] else f"{path} has changed: its checksum is another"
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"


def _check_maps(path: Path, rows: pa.Table, stages: Sequence[str]) -> Iterator[str]:
    """Also of a file that is known to be damaged, to say which items it hits."""
    names = rows["id"].to_pylist()
    check_regular(path)
    with safe_open(path, "pt") as maps:
        changed = [
            name
            for name, digest in zip(names, rows["maps_sha256"].to_pylist(), strict=True)
            if maps_sum({stage: maps.get_tensor(f"{name}/{stage}") for stage in stages}) != digest
        ]
        others = set(maps.keys()) - {f"{name}/{stage}" for name in names for stage in stages}
    if changed:
        yield f"{path}: the maps of {len(changed)} items have changed: {_some(changed)}"
    if others:
        yield f"{path} has maps that the table does not know: {_some(sorted(others))}"


def _check_failed(root: Path, done: Sequence[int]) -> Iterator[str]:
    path = root / FAILED
    try:
        shards = [root / shard_name(index, FAILED) for index in done]
        failures = [failure for shard in shards if shard.exists() for failure in read_failures(shard)]
        if read_regular(path) != failures_text(failures).encode():
            yield f"{path} has changed: it is not what the shards say; {_AGAIN}"
    except FileNotFoundError:
        yield f"{path} is missing; {_AGAIN}"
    except (OSError, ValueError) as error:
        yield _line(error)


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:_NAMED]) + (", …" if len(listed) > _NAMED else "")


def _line(error: Exception) -> str:
    return (str(error) or repr(error)).splitlines()[0]
