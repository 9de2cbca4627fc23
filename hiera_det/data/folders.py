"""What is in folders: what is left out is counted in the log, what cannot be read is named."""

from __future__ import annotations

import glob
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

__all__ = ["choose_files", "count_endings", "files_below", "files_in", "passed_over_by_glob"]

logger = logging.getLogger(__name__)

PassOver = Callable[[str, OSError], None]


def files_in(folder: str | Path) -> list[str]:
    """Names of what is in a folder but for folders, in alphabetical order; links that lead nowhere too.

    Raises:
        OSError: the folder cannot be read; the message names it.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if not _is_folder(entry))
    except OSError as error:
        raise OSError(f"folder {folder} cannot be read: {error.strerror}") from error


def files_below(folder: str, pass_over: PassOver) -> Iterator[str]:
    """Paths of all files below a folder, through links too, but never back into a folder that is being walked.

    What a name that begins with a dot marks as hidden is given, but a hidden folder is not walked.

    Args:
        folder: where to begin.
        pass_over: is told of a folder below that cannot be read, and why.

    Raises:
        OSError: the folder itself cannot be read.
    """
    try:
        yield from _walk(folder, pass_over, ())
    except OSError as error:
        raise OSError(f"folder {folder} cannot be read: {error.strerror}") from error


def _walk(folder: str, pass_over: PassOver, above: tuple[str, ...]) -> Iterator[str]:
    real = os.path.realpath(folder)
    if real in above:
        return
    with os.scandir(folder) as entries:
        found = list(entries)
    for entry in found:
        if entry.name.startswith(".") or not _is_folder(entry):
            yield entry.path
            continue
        try:
            yield from _walk(entry.path, pass_over, (*above, real))
        except OSError as error:
            pass_over(entry.path, error)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def passed_over_by_glob(pattern: str) -> Iterator[tuple[str, OSError]]:
    """The folders that :func:`glob.glob` would look into but cannot, which it passes over in silence, and why."""
    parts = Path(pattern).parts
    seen: set[str] = set()
    first = next(place for place, part in enumerate(parts) if glob.has_magic(part))
    for place, part in enumerate(parts[first:], first):
        above = os.path.join("", *parts[: place + (part == "**")])
        is_fixed = place == first and part != "**"
        for folder in [above or "."] if is_fixed else glob.glob(os.path.join(above, ""), recursive=True):
            try:
                if not glob.has_magic(part):
                    os.lstat(os.path.join(folder, part))
                elif folder not in seen:
                    os.scandir(folder).close()
            except FileNotFoundError:
                pass
            except OSError as error:
                if folder not in seen:
                    yield folder, error
            seen.add(folder)


def choose_files(names: Sequence[str], suffixes: tuple[str, ...], where: str, kind: str) -> list[str]:
    """Choose files by the ends of their names, and count in the log what is left out.

    Args:
        names: relative to the folder; those of which the last part begins with a dot are left out.
        suffixes: in lower case.
        where: the folder, for the log.
        kind: the word for what is looked for, for the log.
    """
    chosen = [name for name in names if name.lower().endswith(suffixes) and not _is_hidden(name)]
    if len(chosen) < len(names):
        others = count_endings(set(names).difference(chosen))
        logger.info("%s: %d %s(s), left out: %s", where, len(chosen), kind, others)
    return chosen


def count_endings(names: Sequence[str] | set[str]) -> str:
    """How many files there are of each ending, the five most frequent, as ``3 .txt, 1 hidden``."""
    kinds = Counter(
        "hidden" if _is_hidden(name) else os.path.splitext(name)[1].lower() or "no ending" for name in sorted(names)
    )
    shown = [f"{count} {kind}" for kind, count in kinds.most_common(5)]
    if rest := sum(kinds.values()) - sum(count for _, count in kinds.most_common(5)):
        shown.append(f"{rest} others")
    return ", ".join(shown) or "nothing"


def _is_hidden(name: str) -> bool:
    """As the ``._a.jpg`` that macOS writes beside ``a.jpg``, which is no image."""
    return os.path.basename(name).startswith(".")
