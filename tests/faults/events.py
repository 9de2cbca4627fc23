"""Ends a process group at one of its file-system events: the k-th opening to write, rename, removal, sync, folder."""

from __future__ import annotations

import mmap
import os
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["Counter"]

_CHANGES = {"os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate", "shutil.rmtree", "tempfile.mkstemp"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Counter:
    """Counts the events of a process and of those that it forks, and kills them at one of them.

    Args:
        folder: events elsewhere are not counted.
        last: the event before which the group is killed, from 1; 0: none.
    """

    def __init__(self, folder: Path, last: int = 0) -> None:
        self.folder = os.path.realpath(folder) + os.sep
        self.last = last
        self._shared = mmap.mmap(-1, 8)

    @property
    def count(self) -> int:
        """Events up to now."""
        return struct.unpack("q", self._shared[:8])[0]

    def install(self) -> None:
        """Count from now to the end of this process; the current folder is where its output goes."""
        sys.addaudithook(self._hook)
        os.fsync = self._before(os.fsync)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if flags & _WRITES and self._is_inside(path):
                self._note()
        elif event in _CHANGES and any(self._is_inside(path) for path in arguments):
            self._note()

    def _before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any) -> Any:
            self._note()
            return function(*arguments)

        return noted

    def _is_inside(self, path: Any) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        real = os.path.abspath(os.fsdecode(path))
        return real.startswith(self.folder) and not os.path.relpath(real, self.folder).startswith(".")

    def _note(self) -> None:
        count = self.count + 1
        self._shared[:8] = struct.pack("q", count)
        if count == self.last:
            os.killpg(0, signal.SIGKILL)
