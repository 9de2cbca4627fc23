"""Opening files of unknown origin: regular ones alone, since to open a named pipe or to read a device may never end."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

__all__ = ["NoRegularFileError", "check_regular", "open_regular", "read_regular"]

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_AT_ONCE = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # to open a pipe waits for its other end


class NoRegularFileError(OSError):
    """Something else stands where a file is expected; ``strerror`` says what, the message names the path too."""

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


def check_regular(path: str | Path) -> None:
    """Check that a path leads to a regular file, for what opens the file by its name itself.

    Raises:
        OSError: it leads to nothing, or to something else: a folder, a named pipe, a socket, a device.
    """
    _check(path, os.stat(path))


def open_regular(path: str | Path) -> BinaryIO:
    """Open a regular file to read its bytes; this does not wait, whatever is there.

    Raises:
        OSError: it cannot be opened, or is something else: a folder, a named pipe, a socket, a device.
    """
    return open(path, "rb", opener=_opened)


def read_regular(path: str | Path) -> bytes:
    """All bytes of a regular file.

    Raises:
        OSError: as of :func:`open_regular`, or it cannot be read.
    """
    with open_regular(path) as file:
        return file.read()


def _opened(path: str, flags: int) -> int:
    check_regular(path)  # to open a device may do something to it
    handle = os.open(path, flags | _AT_ONCE)
    try:
        _check(path, os.fstat(handle))  # what is there may have changed
    except OSError:
        os.close(handle)
        raise
    return handle


def _check(path: str | Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise NoRegularFileError(errno.EINVAL, f"it is {kind}, expected a file", str(path))
