"""What is on the disk behind a kill, and whether a run that went on is the run that was never killed."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from hiera_det.utils.files import is_temporary

__all__ = ["damaged", "differences"]

_TIMES = ("time", "data_time", "eta_seconds")
_OWN = ("log.txt", "run.lock")  # of each start


def damaged(folder: Path) -> list[str]:
    """Files that are there under their final names but are not whole."""
    found = []
    for path in _files(folder):
        try:
            _read(path)
        except Exception as error:
            found.append(f"{path.relative_to(folder)}: {type(error).__name__}: {str(error)[:100]}")
    return found


def differences(folder: Path, reference: Path) -> list[str]:
    """In what an output differs from that of a run that was never killed; temporary files are a difference."""
    found = [f"left: {path.relative_to(folder)}" for path in folder.rglob("*") if is_temporary(path.name)]
    ours, theirs = ({str(path.relative_to(root)): path for path in _files(root)} for root in (folder, reference))
    found += [f"not there: {name}" for name in sorted(theirs.keys() - ours.keys())]
    found += [f"there besides: {name}" for name in sorted(ours.keys() - theirs.keys())]
    for name in sorted(ours.keys() & theirs.keys()):
        if ours[name].read_bytes() != theirs[name].read_bytes() and (how := _difference(ours[name], theirs[name])):
            found.append(f"{name}: {how}")
    return found


def _files(folder: Path) -> list[Path]:
    """All but temporary files and what belongs to one start alone."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.name not in _OWN
        and not path.name.startswith("events.out")
        and not any(is_temporary(part) for part in path.relative_to(folder).parts)
    ]


def _read(path: Path) -> None:
    """Read a file whole.

    Raises:
        Exception: it cannot be.
    """
    text = path.suffix in (".json", ".csv", ".yaml", ".sha256") or path.name == "last_checkpoint"
    content = path.read_text(encoding="utf-8") if text else ""
    if path.name == "metrics.json" and path.parent.name != "inference":
        for line in content.splitlines():
            json.loads(line)
    elif path.suffix == ".json":
        json.loads(content)
    elif path.suffix == ".csv":
        if len({len(row) for row in csv.reader(content.splitlines(), strict=True)}) > 1:
            raise ValueError("rows of other lengths")
    elif path.suffix == ".yaml":
        if not isinstance(yaml.safe_load(content), dict):
            raise ValueError("no mapping")
    elif path.suffix == ".sha256":
        for digest, name in (line.split("  ") for line in content.splitlines()):
            if hashlib.sha256(path.with_name(name).read_bytes()).hexdigest() != digest:
                raise ValueError(f"{name} is another")
    elif path.name == "last_checkpoint":
        _read(path.with_name(content))
    elif path.suffix == ".pth":
        _load(path)
    elif path.suffix in (".png", ".jpg"):
        from PIL import Image

        with Image.open(path) as image:
            image.load()
    elif path.suffix == ".mp4":
        import av

        with av.open(str(path)) as video:
            for _ in video.decode(video=0):
                pass
    elif not path.stat().st_size:
        raise ValueError("empty")


def _load(path: Path) -> Any:
    import torch

    return torch.load(path, weights_only=True, map_location="cpu")


def _difference(ours: Path, theirs: Path) -> str:
    if ours.suffix == ".pth":
        return next(_unlike(_load(ours), _load(theirs), ""), "")
    if ours.name == "metrics.json" and ours.parent.name != "inference":
        lines = [path.read_text().splitlines() for path in (ours, theirs)]
        if len(lines[0]) != len(lines[1]):
            return f"{len(lines[0])} lines, expected {len(lines[1])}"
        for number, pair in enumerate(zip(*lines, strict=True), 1):
            mine, its = ({k: v for k, v in json.loads(line).items() if k not in _TIMES} for line in pair)
            if mine != its:
                keys = sorted(key for key in mine.keys() | its.keys() if mine.get(key, "-") != its.get(key, "-"))
                return f"line {number} differs in {', '.join(keys[:5])}"
        return ""
    return "other bytes"


def _unlike(ours: Any, theirs: Any, where: str) -> Iterator[str]:
    """Where two checkpoints differ: bit by bit."""
    import torch

    if isinstance(ours, torch.Tensor) and isinstance(theirs, torch.Tensor):
        if ours.dtype != theirs.dtype or ours.shape != theirs.shape or not _same_bits(ours, theirs):
            yield f"{where} differs"
    elif isinstance(ours, dict) and isinstance(theirs, dict):
        if ours.keys() != theirs.keys():
            yield f"{where} has other keys: {sorted(map(str, ours.keys() ^ theirs.keys()))[:5]}"
        for key in ours.keys() & theirs.keys():
            if "val_loop" in str(key):  # Lightning counts evaluations there: one that is made up is one more
                continue
            yield from _unlike(ours[key], theirs[key], f"{where}/{key}")
    elif isinstance(ours, list | tuple) and isinstance(theirs, list | tuple) and len(ours) == len(theirs):
        for number, pair in enumerate(zip(ours, theirs, strict=True)):
            yield from _unlike(*pair, f"{where}/{number}")
    elif ours != theirs and not (ours != ours and theirs != theirs):
        yield f"{where} is {ours!r:.60}, expected {theirs!r:.60}"


def _same_bits(ours: Any, theirs: Any) -> bool:
    import torch

    flat = [tensor.contiguous().reshape(-1).view(torch.uint8) if tensor.ndim else tensor for tensor in (ours, theirs)]
    return bool(torch.equal(*flat))
