"""Images inside tar files, as WebDataset lays them out: found by one pass over the headers, read by seeking."""

from __future__ import annotations

import logging
import math
import os
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from hiera_det.data.suffixes import IMAGE_SUFFIXES
from hiera_det.inputs.items import Item
from hiera_det.utils.regular import open_regular

__all__ = ["expand_braces", "images_of_tar"]

logger = logging.getLogger(__name__)

_CHUNK = 2048 * tarfile.BLOCKSIZE
_RANGE = re.compile(r"\{(\d{1,18})\.\.(\d{1,18})\}")
_MOST_NAMES = 100_000
_LONGEST_HEADER = 1 << 16  # bytes of a long name or of a PAX header
_HEADERS = 1 << 20  # bytes of all headers before one member
_MOST_FIELDS = 1000  # that hold for all members behind them
_MOST_ZEROS = 1 << 26  # bytes between two archives
_DIGITS = re.compile(rb"\d{100}")  # with which tarfile's own patterns take for ever


def expand_braces(pattern: str) -> list[str]:
    """``shard-{000..012}.tar`` to 13 names; a pattern without a range of numbers to itself.

    Raises:
        ValueError: a range goes backward, or there are more than 100000 names.
    """
    text, *rest = _RANGE.split(pattern)
    ranges = []
    for first, last in zip(rest[::3], rest[1::3], strict=True):
        if int(first) > int(last):
            raise ValueError(f"{pattern}: the range {first}..{last} goes backward")
        ranges.append(range(int(first), int(last) + 1))
    if (count := math.prod(int(numbers.stop - numbers.start) for numbers in ranges)) > _MOST_NAMES:
        raise ValueError(f"{pattern} stands for {count} names, expected at most {_MOST_NAMES}")
    names = [text]
    for first, numbers, tail in zip(rest[::3], ranges, rest[2::3], strict=True):
        names = [f"{head}{number:0{len(first)}d}{tail}" for head in names for number in numbers]
    return names


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
    with open_regular(path) as file:
        headers = _Headers(file)
        start, size = 0, os.fstat(file.fileno()).st_size
        try:
            while start < size or not start:
                file.seek(start)
                headers.left = _HEADERS
                with tarfile.open(fileobj=cast("BinaryIO", headers), mode="r:") as tar:
                    begin = start - 1
                    while (member := tar.next()) is not None:
                        tar.members.clear()  # type: ignore[attr-defined]  # else all headers stay in memory
                        headers.left = _HEADERS
                        last = f"member {member.name!r}"
                        length = 0 if member.issparse() else member.size  # of sparse ones it is the unpacked file's
                        if not begin < member.offset < member.offset_data <= member.offset_data + length <= size:
                            raise tarfile.ReadError(f"its {member.size} bytes do not fit into the file")
                        if len(tar.pax_headers) > _MOST_FIELDS:
                            raise tarfile.ReadError(f"more than {_MOST_FIELDS} fields for all members")
                        begin = member.offset
                        if not member.isdir():
                            yield member
                    end = tar.offset
                if start and end == start:
                    raise tarfile.ReadError(f"{size - start} bytes at byte {start}, behind an end mark, are no archive")
                # tarfile takes a damaged header or the end of the file for the end of the archive.
                file.seek(end)
                if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                    raise tarfile.ReadError("no end mark where one is due")
                start = _behind_zeros(file, end)
        except Exception as error:  # of damaged headers tarfile raises nearly anything, KeyError and RecursionError too
            if isinstance(error, OSError | MemoryError):
                raise
            if kind := _compression(path):
                text = f"{path} is compressed ({kind}), which cannot be read by seeking; unpack it to a .tar"
                raise ValueError(text) from error
            raise ValueError(
                f"{path} ({Path(path).stat().st_size} bytes) is cut off or damaged at or behind {last}: {error}; "
                "copy or make it again"
            ) from error


class _Headers:
    """A file as tarfile reads it, which takes any size that a header speaks of: larger ones than allowed are errors.

    Attributes:
        left: bytes of headers that may be read before the next member.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell
        self.left = 0

    def read(self, size: int) -> bytes:
        """Read a header.

        Raises:
            tarfile.ReadError: it is too long, or has a number that is.
        """
        self.left -= size
        if size > _LONGEST_HEADER or self.left < 0:
            raise tarfile.ReadError(f"headers of more than {_LONGEST_HEADER} bytes")
        content = self._file.read(size)
        if _DIGITS.search(content):
            raise tarfile.ReadError("a header with a number of 100 digits")
        return content


def _behind_zeros(file: BinaryIO, start: int) -> int:
    """Where the first block begins, from one of zeros on, that is of something else; the file's end, if none is."""
    file.seek(start)
    last = start + _MOST_ZEROS
    while chunk := file.read(_CHUNK):
        zeros = len(chunk) - len(chunk.lstrip(b"\0"))
        start += zeros // tarfile.BLOCKSIZE * tarfile.BLOCKSIZE if zeros < len(chunk) else zeros
        if zeros < len(chunk):
            break
        if start > last:
            raise tarfile.ReadError(f"more than {_MOST_ZEROS} zeros behind an end mark")
    return start


def _compression(path: str) -> str | None:
    with open_regular(path) as file:
        head = file.read(6)
    magics = {"gzip": b"\x1f\x8b", "bzip2": b"BZh", "xz": b"\xfd7zXZ\0", "zstd": b"\x28\xb5\x2f\xfd"}
    return next((kind for kind, magic in magics.items() if head.startswith(magic)), None)
