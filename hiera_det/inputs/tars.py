"""Images inside tar files, as WebDataset lays them out: found by one pass over the headers, read by seeking."""

from __future__ import annotations

import logging
import os
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from hiera_det.data.suffixes import IMAGE_SUFFIXES
from hiera_det.inputs.items import Item

__all__ = ["expand_braces", "images_of_tar"]

logger = logging.getLogger(__name__)

_CHUNK = 2048 * tarfile.BLOCKSIZE


def expand_braces(pattern: str) -> list[str]:
    """``shard-{000..012}.tar`` to 13 names; a pattern without a range of numbers to itself.

    Raises:
        ValueError: a range goes backward.
    """
    match = re.fullmatch(r"(.*?)\{(\d+)\.\.(\d+)\}(.*)", pattern)
    if not match:
        return [pattern]
    head, first, last, tail = match.groups()
    if int(first) > int(last):
        raise ValueError(f"{pattern}: the range {first}..{last} goes backward")
    numbers = range(int(first), int(last) + 1)
    return [f"{head}{number:0{len(first)}d}{rest}" for number in numbers for rest in expand_braces(tail)]


def images_of_tar(path: str) -> list[Item]:
    """Images in an uncompressed tar file, in its order; the id is the member's name, WebDataset's key and its ending.

    Members whose file name begins with a dot have no key and are left out.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no tar file, or a compressed one, or cut off or damaged, or has no images, or one in a form
            that cannot be read by seeking.
    """
    items, others, links = [], 0, 0
    for member in _members(path):
        name = member.name.rpartition("/")[2]
        if name.startswith(".") or not name.lower().endswith(IMAGE_SUFFIXES):
            others += 1
        elif member.issym() or member.islnk():
            links += 1
        elif not (member.isreg() or member.issparse()):
            others += 1  # a device or a pipe
        elif member.issparse():
            raise ValueError(f"{path}: member {member.name!r} is stored sparse; pack it without --sparse")
        else:
            items.append(Item(member.name, path, member.name, member.offset_data, member.size))
    if links:
        logger.warning("%s: %d links to images are left out, only files are read", path, links)
    if not items:
        raise ValueError(f"{path}: no image among its {others + links} members; looked for {' '.join(IMAGE_SUFFIXES)}")
    return items


def _members(path: str) -> Iterator[tarfile.TarInfo]:
    """Of all archives in the file: ``cat a.tar b.tar`` puts one behind the end mark of the other."""
    last = "its beginning"
    with open(path, "rb") as file:
        start, size = 0, os.fstat(file.fileno()).st_size
        try:
            while start < size or not start:
                file.seek(start)
                with tarfile.open(fileobj=file, mode="r:") as tar:
                    while (member := tar.next()) is not None:
                        tar.members.clear()  # type: ignore[attr-defined]  # else all headers stay in memory
                        if not member.isdir():
                            yield member
                        last = f"member {member.name!r}"
                    end = tar.offset
                if start and end == start:
                    raise tarfile.ReadError(f"{size - start} bytes at byte {start}, behind an end mark, are no archive")
                # tarfile takes a damaged header or the end of the file for the end of the archive.
                file.seek(end)
                if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                    raise tarfile.ReadError("no end mark where one is due")
                start = _behind_zeros(file, end)
        except tarfile.TarError as error:
            if kind := _compression(path):
                text = f"{path} is compressed ({kind}), which cannot be read by seeking; unpack it to a .tar"
                raise ValueError(text) from error
            raise ValueError(
                f"{path} ({Path(path).stat().st_size} bytes) is cut off or damaged at or behind {last}: {error}; "
                "copy or make it again"
            ) from error


def _behind_zeros(file: BinaryIO, start: int) -> int:
    """Where the first block begins, from one of zeros on, that is of something else; the file's end, if none is."""
    file.seek(start)
    while chunk := file.read(_CHUNK):
        zeros = len(chunk) - len(chunk.lstrip(b"\0"))
        start += zeros // tarfile.BLOCKSIZE * tarfile.BLOCKSIZE if zeros < len(chunk) else zeros
        if zeros < len(chunk):
            break
    return start


def _compression(path: str) -> str | None:
    with open(path, "rb") as file:
        head = file.read(6)
    magics = {"gzip": b"\x1f\x8b", "bzip2": b"BZh", "xz": b"\xfd7zXZ\0", "zstd": b"\x28\xb5\x2f\xfd"}
    return next((kind for kind, magic in magics.items() if head.startswith(magic)), None)
