"""Files that are whole or not there: written aside, then renamed."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["ASIDE", "file_sum", "make_folder", "written_aside"]

ASIDE = "tmp."  # before the name, so that writers that go by a file's ending still do
_CHUNK = 1 << 20  # bytes


@contextmanager
def written_aside(path: str | Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; it takes the place of `path` when the block ends well, else it is removed.

    What is written may be a folder where there is nothing at `path`.
    A process that is killed meanwhile leaves the file aside, and `path` as it was.
    """
    target = Path(path)
    aside = target.with_name(f"{ASIDE}{os.getpid()}.{target.name}")  # ranks may write the same file
    try:
        yield aside
    except BaseException:
        if aside.is_dir():
            shutil.rmtree(aside)
        aside.unlink(missing_ok=True)
        raise
    aside.replace(target)


def make_folder(path: str | Path, name: str) -> Path:
    """Make a folder, if it is not there, and try whether it can be written to.

    Args:
        path: the folder.
        name: what it is, for the message.

    Raises:
        OSError: it cannot be made or written to.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(f"{name} {folder} cannot be written to ({error.strerror}); choose another folder") from error
    return folder


def file_sum(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            total.update(chunk)
    return total.hexdigest()
