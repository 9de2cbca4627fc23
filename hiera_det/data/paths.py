"""The images or videos that the input of a prediction names, one after another, and the folder of its results."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from hiera_det.data.folders import choose_files, count_endings, files_in
from hiera_det.data.suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from hiera_det.utils.files import make_folder, remove_leftovers
from hiera_det.utils.visualize import write_image

__all__ = ["drawn_files", "find_files", "make_output", "read_each", "write_drawn"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

_DRAWN = (".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff")  # which OpenCV writes
_OF_THE_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)
_SUFFIXES = {"image": IMAGE_SUFFIXES, "video": VIDEO_SUFFIXES}


def find_files(source: Path, kind: str) -> list[Path]:
    """The file itself, or the files of a folder, in alphabetical order; what else is in it is counted in the log.

    Args:
        source: a file or a folder.
        kind: "image" or "video", by the ends of names.

    Raises:
        FileNotFoundError: there is no such file, or no file of the kind in the folder.
        OSError: the folder cannot be read.
        ValueError: the file is of another kind, or no regular file.
    """
    if not source.exists():
        raise FileNotFoundError(f"no image, folder or video at {source}")
    suffixes = _SUFFIXES[kind]
    if not source.is_dir():
        if source.suffix.lower() not in suffixes:
            known = "; ".join(f"endings of {name}s: {' '.join(endings)}" for name, endings in _SUFFIXES.items())
            raise ValueError(f"{source} is no {kind} by its name; {known}")
        return [source]
    names = files_in(source)
    chosen = choose_files(names, suffixes, f"folder {source}", kind)
    if not chosen:
        holds = count_endings(names)
        raise FileNotFoundError(f"no {kind} in {source}; looked for {' '.join(suffixes)}; there is: {holds}")
    return [source / name for name in chosen]


def read_each(paths: Sequence[Path], read: Callable[[Path], T]) -> Iterator[tuple[Path, T]]:
    """Read files one after another, with a progress bar; those that cannot be read are skipped with a warning.

    Args:
        paths: one or more.
        read: what to do with each; it raises OSError or ValueError where that cannot be done.

    Yields:
        The path, and what ``read`` returned.

    Raises:
        ValueError: none of the files can be read.
    """
    failures: list[str] = []
    for path in tqdm(paths, desc="files", unit="file", disable=len(paths) == 1):
        try:
            content = read(path)
        except (OSError, ValueError) as error:
            failures.append(f"{path.name}: {error}")
            logger.warning("skipped: %s", failures[-1])
        else:
            yield path, content
    if len(failures) == len(paths):
        raise ValueError(f"none of the {len(paths)} files can be read, such as {failures[0]}")
    if failures:
        logger.info("%d of %d files were skipped", len(failures), len(paths))


def make_output(output: Path, source: Path) -> None:
    """Make the folder for the results of a source, and clear away what a killed process left half-written in it.

    Raises:
        OSError: it cannot be made or written to.
        ValueError: the source lies in it.
    """
    if output.resolve() == (source if source.is_dir() else source.parent).resolve():
        raise ValueError(f"output folder {output} is where the input lies: the results would overwrite it")
    remove_leftovers(make_folder(output, "output folder"))


def drawn_files(paths: Sequence[Path], output: Path) -> list[Path]:
    """Where the drawn image of each file goes: under its own name, or ``<name>.png`` if the format cannot be written.

    Raises:
        ValueError: two of them would go to one file.
    """
    targets = [output / (path.name if path.suffix.lower() in _DRAWN else f"{path.name}.png") for path in paths]
    first: dict[Path, Path] = {}
    for path, target in zip(paths, targets, strict=True):
        if first.setdefault(target, path) is not path:
            raise ValueError(f"{first[target].name} and {path.name} would both be drawn in {target}; rename one")
    return targets


def write_drawn(target: Path, image: np.ndarray) -> None:
    """Write a drawn image (H, W, 3) uint8 RGB; where it alone cannot be written, the log says why.

    Raises:
        OSError: nothing can be written there, as on a full disk.
    """
    try:
        write_image(target, image)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno not in _OF_THE_NAME:
            raise
        logger.warning("not drawn: %s (%s)", target.name, getattr(error, "strerror", None) or error)
