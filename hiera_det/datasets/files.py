"""Where the images and the splits of a folder are."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from hiera_det.data.folders import fail_on_folder, files_below, files_in
from hiera_det.data.image_files import read_header
from hiera_det.data.suffixes import IMAGE_SUFFIXES

__all__ = [
    "ALL",
    "SPLITS",
    "by_split",
    "common_root",
    "files_called",
    "images_by_stem",
    "images_in",
    "size_of",
    "split_folders",
    "split_of",
]

ALL = "all"  # of a dataset that has no splits
SPLITS = ("train", "val", "test")
_WORDS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_WORD = re.compile(r"(?<![a-z])(training|train|validation|valid|val|test)(?![a-z])")


def split_of(name: str) -> str:
    """Give the split that a name of a file or folder tells: "train", "val", "test", or else "all"."""
    found = _WORD.findall(name.lower().replace("_", " "))
    return _WORDS[found[-1]] if found else ALL


def by_split(files: Iterable[Path], root: Path) -> dict[str, Path]:
    """Give files by the split that their names tell, or those of their folders below the one of the dataset.

    Raises:
        ValueError: two are of one split.
    """
    found: dict[str, Path] = {}
    for file in files:
        split = split_of(file.stem)
        if split == ALL and file.parent != root:
            split = split_of(file.parent.name)
        if split in found:
            raise ValueError(f"{root}: {found[split]} and {file} are both of {split}; name the file that is meant")
        found[split] = file
    return found


def files_called(path: Path, suffix: str, also: str = "") -> list[Path]:
    """Give the files of an ending: a file itself, or those of a folder and of the folders in it that tell a split.

    Args:
        path: the file or folder.
        suffix: in lower case.
        also: the name of one more folder in it, in lower case.
    """
    if path.is_file():
        return [path] if path.suffix.lower() == suffix else []
    inside = [its for its in sorted(path.iterdir()) if its.is_dir()]
    folders = [path, *(its for its in inside if its.name.lower() == also or split_of(its.name) != ALL)]
    return [its / name for its in folders for name in files_in(its) if name.lower().endswith(suffix)]


def split_folders(folder: Path) -> dict[str, Path]:
    """Give the folders that are called as splits are: train, valid and so on; a folder without any is one of all."""
    found: dict[str, Path] = {}
    for path in sorted(path for path in folder.iterdir() if path.is_dir()):
        if path.name.lower() in _WORDS:
            found.setdefault(_WORDS[path.name.lower()], path)
    return found or {ALL: folder}


def images_in(folder: Path) -> list[Path]:
    """Give the images of a folder and of those below it, by the alphabet; hidden ones are none."""
    paths = sorted(files_below(str(folder), fail_on_folder))
    return [Path(path) for path in paths if _is_image(os.path.basename(path))]


def images_by_stem(folder: Path) -> dict[str, Path]:
    """Give the images of a folder alone by their names without the ending."""
    return {Path(name).stem: folder / name for name in files_in(folder) if _is_image(name)}


def size_of(path: Path) -> tuple[int, int]:
    """Give width and height of an image as it is read, turned as EXIF says.

    Raises:
        OSError: it cannot be read.
    """
    return read_header(path).size


def common_root(paths: Iterable[Path]) -> Path:
    """Give the folder that all of some folders lie in."""
    return Path(os.path.commonpath([str(path) for path in paths]))


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")
