"""What is in folders: what is left out is counted in the log, what cannot be read is named."""

from __future__ import annotations

import glob
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NoReturn

__all__ = [
    "choose_files",
    "count_endings",
    "fail_on_folder",
    "files_below",
    "files_in",
    "matches",
    "passed_over_by_glob",
    "walk",
]

logger = logging.getLogger(__name__)

_MOST_WAYS = 100  # to one folder

PassOver = Callable[[str, OSError], object]


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
    for below, files, _ in walk(folder, pass_over):
        yield from (os.path.join(below, name) for name in files)


def walk(folder: str, pass_over: PassOver) -> Iterator[tuple[str, list[str], list[str]]]:
    """As :func:`os.walk`, with links to folders, but never back into a folder that is being walked.

    Args:
        folder: where to begin.
        pass_over: is told of a folder below that cannot be read, and why.

    Yields:
        The path of a folder, the names of its files, of links that lead nowhere and of hidden folders, and those of its
        other folders; what is taken out of the latter is not walked.

    Raises:
        OSError: the folder itself cannot be read.
        ValueError: links lead to a folder in a great many ways.
    """
    ways = Counter[tuple[int, int]]()
    waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [(folder, frozenset())]
    while waiting:
        path, above = waiting.pop()
        try:
            status = os.stat(path)
            this = status.st_dev, status.st_ino
            if this in above:
                continue
            with os.scandir(path) as entries:
                names = {entry.name: not entry.name.startswith(".") and _is_folder(entry) for entry in entries}
        except OSError as error:
            if path == folder:
                raise OSError(f"folder {folder} cannot be read: {error.strerror}") from error
            pass_over(path, error)
            continue
        ways[this] += 1
        if ways[this] > _MOST_WAYS:
            raise ValueError(f"links below {folder} lead to {path} and in {_MOST_WAYS} other ways to it; remove some")
        folders = [name for name, is_folder in names.items() if is_folder]
        yield path, [name for name, is_folder in names.items() if not is_folder], folders
        waiting += [(os.path.join(path, name), above | {this}) for name in folders]


def fail_on_folder(folder: str, error: OSError) -> NoReturn:
    """Pass no folder over that cannot be read.

    Raises:
        OSError: always.
    """
    raise OSError(f"folder {folder} cannot be read: {error.strerror}") from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def matches(pattern: str) -> set[str]:
    """Paths that match a pattern as for :func:`glob.glob`, ``**`` too, with links as :func:`walk` follows them.

    Raises:
        ValueError: links lead to a folder in a great many ways.
    """
    parts = Path(pattern).parts
    if "**" not in parts:
        return set(glob.glob(pattern))
    place = parts.index("**")
    rest = [part for part, _ in groupby(parts[place:])][1:]
    tail = [*rest, ""] if pattern.endswith(os.sep) else rest or ["*"]  # "a/**/" are folders, "a/**" is all
    found: set[str] = set()
    for top in filter(os.path.isdir, glob.glob(os.path.join("", *parts[:place])) if place else ["."]):
        for folder, _, _ in walk(top, lambda path, error: None):
            found |= matches(os.path.join(glob.escape(folder), *tail))
    return found


def passed_over_by_glob(pattern: str) -> Iterator[tuple[str, OSError]]:
    """The folders that :func:`matches` would look into but cannot, which it passes over in silence, and why."""
    parts = Path(pattern).parts
    seen: set[str] = set()
    first = next(place for place, part in enumerate(parts) if glob.has_magic(part))
    for place, part in enumerate(parts[first:], first):
        above = os.path.join("", *parts[:place])
        folders = [above or "."] if place == first else sorted(matches(os.path.join(above, "")))
        if part == "**":
            told: dict[str, OSError] = {}
            seen.update(folder for top in folders for folder, _, _ in walk(top, told.setdefault))
            yield from ((folder, error) for folder, error in told.items() if folder not in seen)
            seen.update(told)
            continue
        for folder in folders:
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
