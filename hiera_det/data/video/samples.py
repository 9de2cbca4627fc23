"""How many samples the tables of an MP4 name, for FFmpeg makes an index of all of them when it opens the file.

A file of a kilobyte may name billions: its tables say a size once for all samples, fragments say nothing of any sample,
and a list of edits may show all samples again and again.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from hiera_det.utils.regular import open_regular

__all__ = ["check_samples"]

_CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"moof", b"traf", b"udta", b"free", b"hoov"}
_DEEPEST = 10  # boxes in boxes, as for FFmpeg
_MOST_BOXES = 1_000_000  # one behind the other: two for each second of five days
_FEW = 100_000  # samples that any file may name
_MOST = 20_000_000  # some hundreds of megabytes
_BYTES = 4  # of the file for each sample: less is not seen
_RAW = 64  # samples of sound without compression at least that FFmpeg takes together


def check_samples(path: Path) -> None:
    """Check that an MP4 names no more samples than it has room for; other files pass.

    Raises:
        OSError: the file cannot be read.
        ValueError: it names more, or its header is compressed, so that it cannot be told.
    """
    status = os.stat(path)
    problem = _problem(path, status.st_size, status.st_mtime_ns)
    if problem:
        raise ValueError(f"{path} {problem}")


@lru_cache(256)  # a video is opened for each of its clips
def _problem(path: Path, size: int, mtime_ns: int) -> str | None:
    found = Counter[str]()
    with open_regular(path) as file:
        _count(file, 0, size, found)
    if found["compressed"]:
        return "has a compressed header, which is not read; remux it, for example with ffmpeg -i IN -c copy OUT.mp4"
    allowed = min(_FEW + size // _BYTES, _MOST)
    if found["samples"] > allowed:
        return f"({size} bytes) names {found['samples']} samples, expected at most {allowed}; re-encode it"
    return None


def _count(file: BinaryIO, start: int, end: int, found: Counter[str], depth: int = 1) -> None:
    """Add up what the boxes of a part of the file name."""
    for number, (kind, body, close) in enumerate(_boxes(file, start, end)):
        if number == _MOST_BOXES:
            raise ValueError(f"video {file.name} has more than {_MOST_BOXES} boxes one behind the other; re-encode it")
        if kind == b"trak":
            track = Counter[str]()
            _count(file, body, close, track, depth + 1)
            named = track["sizes"] // (_RAW if track["sound"] and track["even"] else 1)
            found["samples"] += track["samples"] + named * max(track["edits"], 1)
            found["compressed"] += track["compressed"]
        elif kind in _CONTAINERS and depth < _DEEPEST:
            _count(file, body, close, found, depth + 1)
        elif kind in _TABLES:
            file.seek(body)
            name, number = _TABLES[kind](file.read(16).ljust(16, b"\0"), close - body)
            found[name] += number


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, and where the content begins and ends, of each box; it ends at what cannot be a box."""
    while start + 8 <= end:
        file.seek(start)
        head = file.read(16).ljust(16, b"\0")
        size, kind, wide = struct.unpack(">I4sQ", head)
        body = start + (16 if size == 1 else 8)
        size = {0: end - start, 1: wide}.get(size, size)
        if start + size < body:
            return
        yield kind, body, min(start + size, end)
        start += size


def _sizes(head: bytes, length: int) -> tuple[str, int]:
    _, size, count = struct.unpack_from(">III", head)
    return "sizes", count if size else min(count, length)


def _edits(head: bytes, length: int) -> tuple[str, int]:
    return "edits", min(struct.unpack_from(">II", head)[1], length // 12)


def _durations(head: bytes, length: int) -> tuple[str, int]:
    _, count, _, duration = struct.unpack(">IIII", head)
    return "even", int(count == duration == 1)


_TABLES = {
    b"stsz": _sizes,
    b"stz2": _sizes,
    b"elst": _edits,
    b"stts": _durations,
    b"hdlr": lambda head, length: ("sound", int(head[8:12] == b"soun")),
    b"trun": lambda head, length: ("samples", struct.unpack_from(">II", head)[1]),
    b"cmov": lambda head, length: ("compressed", 1),
}
