"""Writing a store of features: shards that are whole or not there."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from hiera_det.features.store.differences import differences
from hiera_det.features.store.layout import (
    FAILED,
    HEADER,
    HEADER_SUMS,
    MAPS,
    SPEC_COLUMNS,
    SUMS,
    TABLE,
    Failure,
    Header,
    all_failures,
    done_parts,
    failures_text,
    read_header,
    shard_name,
    sums_text,
)
from hiera_det.features.store.rows import Features, to_table, write_rows
from hiera_det.inputs.items import Item, Plan
from hiera_det.utils.files import atomic_write, file_sum, is_temporary, remove_leftovers, sync, temporary_path
from hiera_det.weights.tensorfiles import write_safetensors

__all__ = ["create_store", "write_failed", "write_shard"]

logger = logging.getLogger(__name__)

_NAMED = 5  # items that a warning names


def create_store(root: str | Path, spec: Mapping[str, Any], plan: Plan) -> None:
    """Make a store, or go on with one that was made with the same spec for the same plan.

    Nothing that is there is overwritten. One process calls it, before others write shards. What killed processes left
    half-written is removed as :func:`~hiera_det.utils.files.remove_leftovers` says.

    Args:
        root: folder of the store.
        spec: what its features are made with: JSON values, among them those of `SPEC_COLUMNS`.
        plan: the items.

    Raises:
        FileExistsError: the folder holds something else.
        OSError: it cannot be written to.
        ValueError: the store was made with another spec or for other items, or the spec lacks a value.
    """
    root = Path(root)
    missing = [name for name in SPEC_COLUMNS if not isinstance(spec.get(name), str)]
    if missing:
        raise ValueError(f"the spec of a store lacks the text of {', '.join(missing)}")
    header = Header(json.loads(json.dumps(dict(spec))), len(plan.items), plan.items_per_part, plan.digest)
    root.mkdir(parents=True, exist_ok=True)
    if (root / HEADER).exists():
        if lines := differences(root, read_header(root), header, plan):
            raise ValueError(
                "\n".join([f"{root} was made with other settings or for other items:", *lines])
                + "\nrun with the settings and inputs of the store, or choose another folder"
            )
    elif any(not is_temporary(path.name) for path in root.iterdir()):
        raise FileExistsError(
            f"{root} is not empty and no store of features (it has no {HEADER}); choose a new or an empty folder"
        )
    else:
        _write_text(root / HEADER, header.text)
    remove_leftovers(root)
    if not (root / HEADER_SUMS).exists():
        _write_text(root / HEADER_SUMS, sums_text({HEADER: file_sum(root / HEADER)}))


def write_shard(root: str | Path, index: int, features: Sequence[Features], failed: Sequence[tuple[Item, str]]) -> None:
    """Write the shard of one part of the plan; when this returns, it is on the disk.

    Its files are written in a temporary folder and renamed. The last is the file of checksums: with it the shard is
    done. A shard that is there is kept: whoever wrote it, its content is the same.

    Args:
        root: folder of the store.
        index: of the part.
        features: of the part's items, in their order.
        failed: the other items of the part, each with the reason in one line.

    Raises:
        OSError: it cannot be written, as where the disk is full. Nothing of it is left then.
        ValueError: it is not as many items as the part has, or their features differ in kind.
    """
    root = Path(root)
    header = read_header(root)
    if not 0 < header.items_of(index) == len(features) + len(failed):
        raise ValueError(
            f"part {index} of {root}: {len(features)} items with features and {len(failed)} without, expected"
            f" {header.items_of(index)} together"
        )
    if _is_there(root, index):
        return
    try:
        with _temporary_folder(root / f"{index:05d}") as folder:
            _warn_of_infinite(root, index, features)
            _write_files(folder, index, features, failed, header)
            if not _is_there(root, index):  # by now, where two machines were given the same part
                _place(folder, root, index)
    except OSError as error:
        raise OSError(
            f"shard {index} of {root} cannot be written ({error.strerror or error}); the {len(done_parts(root))} shards"
            f" that are finished are whole. It needs about {_bytes(features) / 1e6:.1f} MB, and"
            f" {shutil.disk_usage(root).free / 1e6:.1f} MB are free: make room, and run the same command again to go on"
        ) from error


def write_failed(root: str | Path) -> int:
    """Gather the items that could not be read into the store's ``failed.csv``; without any it is a header alone.

    One process calls it, when the others have written their shards. It too removes what killed ones left.

    Returns:
        How many they are.

    Raises:
        OSError: the file cannot be written.
        ValueError: a shard's list of them is damaged.
    """
    root = Path(root)
    failures = list(all_failures(root))
    remove_leftovers(root)
    _write_text(root / FAILED, failures_text(failures))
    return len(failures)


@contextmanager
def _temporary_folder(target: Path) -> Iterator[Path]:
    folder = temporary_path(target)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _is_there(root: Path, index: int) -> bool:
    there = (root / shard_name(index, SUMS)).exists()
    if there:
        logger.warning("shard %d of %s is there already, by another process: it is kept", index, root)
    return there


def _warn_of_infinite(root: Path, index: int, features: Sequence[Features]) -> None:
    """Values beyond the range of their type have become infinite."""
    found = [
        (f"{one.item.id}: {name}", values.dtype)
        for one in features
        for name, values in (*one.maps.items(), *one.vectors.items())
        if values.numel() and not torch.stack(values.aminmax()).isfinite().all()  # NaN goes through
    ]
    if found:
        named = "; ".join(text for text, _ in found[:_NAMED]) + ("; …" if len(found) > _NAMED else "")
        half = any(dtype == torch.float16 for _, dtype in found)
        advice = "fp16 ends at 65504: set FEATURES.DTYPE to bf16 or fp32" if half else "the model gave them"
        logger.warning(
            "shard %d of %s: %d maps or vectors hold inf or NaN (%s); %s", index, root, len(found), named, advice
        )


def _write_files(
    folder: Path, index: int, features: Sequence[Features], failed: Sequence[tuple[Item, str]], header: Header
) -> None:
    maps = {f"{one.item.id}/{stage}": values for one in features for stage, values in one.maps.items()}
    if maps:
        write_safetensors(maps, folder / shard_name(index, MAPS))
    if features:  # a table without rows would not know the vectors' lengths
        write_rows(folder / shard_name(index, TABLE), to_table(index, features, header.spec))
    if failed:
        failures = [Failure(item.id, item.path, reason) for item, reason in failed]
        (folder / shard_name(index, FAILED)).write_text(failures_text(failures), encoding="utf-8", newline="")
    sums = {path.name: file_sum(path) for path in sorted(folder.iterdir())}
    (folder / shard_name(index, SUMS)).write_text(sums_text(sums), encoding="utf-8", newline="")
    for path in folder.iterdir():
        sync(path)


def _place(folder: Path, root: Path, index: int) -> None:
    """Rename the files, the table behind the maps that it speaks of and the checksums last."""
    names = [shard_name(index, ending) for ending in (MAPS, TABLE, FAILED, SUMS)]
    for name in names[:-1]:
        if (folder / name).exists():
            (folder / name).replace(root / name)
        else:
            (root / name).unlink(missing_ok=True)  # of a run that was killed at this place
    sync(root)
    (folder / names[-1]).replace(root / names[-1])
    sync(root)


def _write_text(path: Path, text: str) -> None:
    with atomic_write(path, durable=True) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def _bytes(features: Sequence[Features]) -> int:
    return sum(values.nbytes for one in features for values in (*one.maps.values(), *one.vectors.values()))
