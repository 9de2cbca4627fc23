"""Pascal VOC: an XML file for each image, and ``ImageSets`` that name the splits."""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree

from hiera_det.data.folders import files_in
from hiera_det.datasets.files import ALL, SPLITS, images_by_stem, size_of, split_folders
from hiera_det.datasets.split import Box, Split, with_classes
from hiera_det.utils.problems import Problems
from hiera_det.utils.text import read_text

__all__ = ["is_voc", "read_voc"]

_ANNOTATIONS = "Annotations"
_SETS = (*SPLITS, "trainval")
_IMAGES = ("JPEGImages", "images", "Images", "PNGImages")


def is_voc(folder: Path) -> bool:
    """Whether a folder has VOC's ``Annotations``, or XML files beside the images of its splits."""
    return bool(_xml_files(folder / _ANNOTATIONS)) or any(map(_xml_files, split_folders(folder).values()))


def read_voc(folder: Path) -> dict[str, Split]:
    """Read a dataset: ``trainval`` (or train and val) for training, ``test`` for evaluation; without a test, val.

    Corners are pixels counted from 1 and part of the box, as in VOC and detectron2; in a set where one is 0 they are
    counted from 0. ``difficult`` objects are crowd regions: neither learned nor counted as missed.

    Raises:
        OSError: a file cannot be read.
        ValueError: files are not as expected; the message names up to ten.
    """
    problems = Problems(folder)
    if not _xml_files(folder / _ANNOTATIONS):
        folders = split_folders(folder)
        files = {name: {stem: path / f"{stem}.xml" for stem in _xml_files(path)} for name, path in folders.items()}
    else:
        files = _by_image_sets(folder, problems)
        folders = dict.fromkeys(files, next((folder / name for name in _IMAGES if (folder / name).is_dir()), folder))
    found = {name: _Reader(folders[name], problems) for name in files}
    for name, its in files.items():
        images = images_by_stem(folders[name])
        for stem, path in its.items():
            found[name].read(path, images.get(stem))
    problems.raise_any()
    from_one = 0 if any(reader.has_zero for reader in found.values()) else 1
    return with_classes({name: reader.split(from_one) for name, reader in found.items()})


def _by_image_sets(folder: Path, problems: Problems) -> dict[str, dict[str, Path]]:
    """XML files by split and by name without the ending."""
    every = {stem: folder / _ANNOTATIONS / f"{stem}.xml" for stem in _xml_files(folder / _ANNOTATIONS)}
    sets = folder / "ImageSets" / "Main"
    listed = {path.stem: _listed(path) for path in sorted(sets.glob("*.txt")) if path.stem in _SETS}
    if not listed:
        return {ALL: every}
    for name, stems in listed.items():
        for stem in stems:
            if stem not in every:
                problems.add(f"{sets / name}.txt", f"{stem!r} has no {_ANNOTATIONS}/{stem}.xml")
    training = listed.get("trainval") or list(dict.fromkeys([*listed.get("train", []), *listed.get("val", [])]))
    splits = {"train": training, "test": listed["test"]} if listed.get("test") and training else listed
    if "train" not in splits and training:  # trainval alone
        splits = {**splits, "train": [stem for stem in training if stem not in listed.get("val", [])]}
    return {
        name: {stem: every[stem] for stem in stems if stem in every} for name, stems in splits.items() if name in SPLITS
    }


def _listed(path: Path) -> list[str]:
    """Names in a list; what stands behind a name says whether a class is there."""
    return [line.split()[0] for line in read_text(path).splitlines() if line.strip()]


def _xml_files(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return [name[:-4] for name in files_in(folder) if name.endswith(".xml") and not name.startswith(".")]


class _Reader:
    """Reads the files of a split."""

    def __init__(self, root: Path, problems: Problems) -> None:
        self._split = Split(root)
        self._problems = problems
        self._boxes: list[tuple[int, str, Box, bool]] = []
        self.has_zero = False

    def read(self, path: Path, image: Path | None) -> None:
        """Read a file and the size of its image."""
        try:
            tree = _parse(path)
        except ValueError as error:
            self._problems.add(str(path), str(error))
            return
        if image is None:
            self._problems.add(str(path), f"there is no image {path.stem}.* for it")
            return
        number = self._split.add_image(image, size_of(image))
        for index, entry in enumerate(tree.iter("object")):
            name, box = (entry.findtext("name") or "").strip(), _corners(entry)
            if not name or box is None:
                self._problems.add(str(path), f"object number {index} lacks a name or bndbox with four numbers")
                continue
            self.has_zero = self.has_zero or min(box[:2]) == 0
            self._boxes.append((number, name, box, (entry.findtext("difficult") or "").strip() == "1"))

    def split(self, from_one: int) -> Split:
        """The split; corners count from 0 or from 1. One whose corners are the same is none."""
        for number, name, (x1, y1, x2, y2), crowd in self._boxes:
            flat = x2 <= x1 or y2 <= y1
            box = (x1, y1, x1, y1) if flat else (max(0.0, x1 - from_one), max(0.0, y1 - from_one), x2, y2)
            self._split.add_box(number, name, box, crowd=crowd)
        return self._split


def _parse(path: Path) -> ElementTree.Element:
    text = read_text(path)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:  # which might expand without end
        raise ValueError("it has a document type, which Pascal VOC's files do not")
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        raise ValueError(f"not an XML file ({error})") from error


def _corners(entry: ElementTree.Element) -> Box | None:
    try:
        x1, y1, x2, y2 = (float(entry.findtext(f"bndbox/{key}") or "") for key in ("xmin", "ymin", "xmax", "ymax"))
    except ValueError:
        return None
    return (x1, y1, x2, y2) if all(map(math.isfinite, (x1, y1, x2, y2))) else None
