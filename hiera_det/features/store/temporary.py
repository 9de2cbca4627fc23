"""Folders in which a process writes a store's files before they get their names."""

from __future__ import annotations

import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hiera_det.features.store.layout import FAILED, HEADER, HEADER_SUMS
from hiera_det.utils.files import ASIDE

__all__ = ["folder_aside", "remove_stale"]

_NAMES = rf"{HEADER}|{HEADER_SUMS}|{FAILED}|\d{{5,}}"  # what is written aside


@contextmanager
def folder_aside(root: Path, name: str) -> Iterator[Path]:
    """Make a folder in a store for what becomes `name`, and remove it when the block ends.

    Its name tells the host and the process: machines share a store, and a process' number is one's own only on its
    machine.
    """
    aside = root / f"{ASIDE}{socket.gethostname()}.{os.getpid()}.{name}"
    shutil.rmtree(aside, ignore_errors=True)  # of a process that was killed and had the same number
    aside.mkdir()
    try:
        yield aside
    finally:
        shutil.rmtree(aside)


def remove_stale(root: Path) -> None:
    """Remove the folders aside of processes of this host that are no more, and of this one, which is not writing now.

    Those of other hosts stay: whether their processes run cannot be seen from here.
    """
    ours = re.compile(rf"{re.escape(ASIDE + socket.gethostname())}\.(\d+)\.({_NAMES})")
    for path in root.iterdir():
        name = ours.fullmatch(path.name)
        if name and (int(name[1]) == os.getpid() or not _alive(int(name[1]))):
            shutil.rmtree(path, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True
