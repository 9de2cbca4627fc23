"""One run at a time in an output folder."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hiera_det.utils.files import FULL, disk_full

__all__ = ["LOCK", "locked"]

logger = logging.getLogger(__name__)

LOCK = "run.lock"  # file of an output folder while a run writes there
_MOST = 1000  # bytes of it that are read


@contextmanager
def locked(folder: str | Path) -> Iterator[None]:
    """Keep other runs out of an output folder until the block ends.

    The lock is the operating system's, on the file ``run.lock``: it goes with its process, however that ends, so that
    what a killed run leaves is taken over. The file tells other runs the process id, the host and the start.

    Args:
        folder: the output folder; it is there.

    Raises:
        ValueError: another run holds it; the message says which.
        OSError: the file cannot be written.
    """
    path = Path(folder) / LOCK
    with contextlib.closing(_Lock(path)) as lock:
        lock.write({"pid": os.getpid(), "host": socket.gethostname(), "start": _now()})
        yield


class _Lock:
    """An open file with a lock on it, which no forked process inherits."""

    def __init__(self, path: Path) -> None:
        self.path = path
        while True:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
            try:
                fcntl.lockf(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError) as error:
                holder = _told(os.read(self._handle, _MOST))
                os.close(self._handle)
                raise ValueError(
                    f"{path.parent} is in use by another run, {holder}: wait for its end or stop it, or take another"
                    " OUTPUT_DIR (of an evaluation --output)"
                ) from error
            except OSError as error:
                logger.warning("%s has no locks (%s): see that no other run writes there", path.parent, error.strerror)
            if self._is_there():
                return
            os.close(self._handle)  # removed by the run before this one

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._handle))
        except FileNotFoundError:
            return False

    def write(self, content: dict[str, Any]) -> None:
        try:
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, json.dumps(content).encode(), 0)
        except OSError as error:
            raise disk_full(self.path, error.errno) if error.errno in FULL else error from error

    def close(self) -> None:
        self.path.unlink(missing_ok=True)
        os.close(self._handle)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _told(content: bytes) -> str:
    try:
        its = json.loads(content)
        return f"process {int(its['pid'])} on {its['host']!r}, begun {its['start']!r}"
    except (ValueError, TypeError, KeyError, RecursionError):  # it is being written
        return "which has only begun"
