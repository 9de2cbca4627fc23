"""Damage that any file may have."""

from __future__ import annotations

import os
import random
import zlib
from collections.abc import Iterator

__all__ = ["fifo", "flipped", "link_to_itself", "no_files", "strangers", "truncated"]


def truncated(data: bytes, count: int) -> Iterator[tuple[str, bytes]]:
    """The file cut off at ``count`` places, those near its ends among them."""
    near = [1, 2, len(data) - 1, len(data) - 23]
    places = sorted({*near, *(len(data) * part // (count - 3) for part in range(1, count - 3))})
    yield from ((f"cut_at_{place}", data[:place]) for place in places if 0 < place < len(data))


def flipped(data: bytes, count: int, *, within: int | None = None, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """The file with one to eight bits changed, in its first ``within`` bytes."""
    draw = random.Random(f"{seed} {len(data)}")
    for number in range(count):
        changed = bytearray(data)
        for _ in range(draw.choice([1, 1, 2, 8])):
            changed[draw.randrange(min(within or len(data), len(data)))] ^= 1 << draw.randrange(8)
        yield f"flipped_{number}", bytes(changed)


def strangers() -> Iterator[tuple[str, bytes]]:
    """Content of another kind."""
    yield "empty", b""
    yield "zeros", bytes(1000)
    yield "line_feed", b"\n"
    yield "random", random.Random(0).randbytes(3000)
    yield "html", b"<!DOCTYPE html><html><body>404: not found</body></html>\n"
    yield "utf16", "name: value\n".encode("utf-16")
    yield "lfs_pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 12345\n"
    yield "gzip", zlib.compress(bytes(100_000), wbits=31)
    yield "elf", b"\x7fELF\x02\x01\x01" + bytes(500)
    yield "brackets", b"[" * 100_000
    yield "nul_text", b"a\0b\0c\0" * 100


def fifo(name: str):
    """What makes a named pipe that nobody writes to."""
    return lambda folder: os.mkfifo(folder / name)


def link_to_itself(name: str):
    """What makes a link that leads nowhere."""
    return lambda folder: (folder / name).symlink_to(name)


def no_files(name: str) -> Iterator[tuple[str, object]]:
    """By what it is: what makes something that is no file."""
    yield "fifo", fifo(name)
    yield "loop", link_to_itself(name)
    yield "folder", lambda folder: (folder / name).mkdir()
    yield "device", lambda folder: (folder / name).symlink_to("/dev/zero")
    yield "absent", lambda folder: None
