"""Files that are whole or not there: written aside, then renamed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["ASIDE", "written_aside"]

ASIDE = "tmp."  # before the name, so that writers that go by a file's ending still do


@contextmanager
def written_aside(path: str | Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; it takes the place of `path` when the block ends well, else it is removed.

    A process that is killed meanwhile leaves the file aside, and `path` as it was.
    """
    target = Path(path)
    aside = target.with_name(ASIDE + target.name)
    try:
        yield aside
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    aside.replace(target)
