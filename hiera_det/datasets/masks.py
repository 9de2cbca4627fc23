"""Instance masks as images: in ``masks/`` beside ``images/``, a number for each object, 0 for none."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hiera_det.data.image_files import open_image
from hiera_det.datasets.files import images_by_stem, size_of, split_folders
from hiera_det.datasets.split import Split, with_classes
from hiera_det.utils.problems import Problems

__all__ = ["is_masks", "read_masks"]

_PAIRS = (("images", "masks"), ("PNGImages", "PedMasks"))  # the second of Penn-Fudan
_ENDINGS = ("", "_mask")
_MOST = 10_000  # objects in an image


def is_masks(folder: Path) -> bool:
    """Whether a folder, or one of its splits, has images and masks."""
    return any(_pair(its) for its in split_folders(folder).values())


def _pair(folder: Path) -> tuple[Path, Path] | None:
    pairs = [(folder / images, folder / masks) for images, masks in _PAIRS]
    return next((pair for pair in pairs if all(its.is_dir() for its in pair)), None)


def read_masks(folder: Path) -> dict[str, Split]:
    """Read masks of an image's name, perhaps with ``_mask``, in ``masks/``, or by class in ``masks/CLASS/``.

    Each number of a mask but 0 is an object; without folders of classes, the class is "object". An image without a mask
    has no objects.

    Raises:
        OSError: a file cannot be read.
        ValueError: a mask has no image or another size, or is not of one channel; the message names up to ten.
    """
    problems = Problems(folder)
    pairs = {name: pair for name, its in split_folders(folder).items() if (pair := _pair(its))}
    splits = {name: _read(*pair, problems) for name, pair in pairs.items()}
    problems.raise_any()
    return with_classes(splits)


def _read(images: Path, masks: Path, problems: Problems) -> Split:
    split = Split(images)
    classes = sorted(its for its in masks.iterdir() if its.is_dir())
    found = {its.name: images_by_stem(its) for its in classes} or {"object": images_by_stem(masks)}
    sizes = {stem: (image, size_of(image)) for stem, image in images_by_stem(images).items()}
    numbers = {stem: (split.add_image(image, size), size) for stem, (image, size) in sizes.items()}
    for name, files in found.items():
        for stem, file in files.items():
            own = next((stem.removesuffix(end) for end in _ENDINGS if stem.removesuffix(end) in numbers), None)
            if own is None:
                problems.add(str(file), f"there is no image {stem} in {images}")
                continue
            number, size = numbers[own]
            try:
                _add(split, number, name, file, size)
            except ValueError as error:
                problems.add(str(file), str(error))
    return split


def _add(split: Split, number: int, name: str, file: Path, size: tuple[int, int]) -> None:
    with open_image(file) as opened:
        if opened.size != size:
            raise ValueError(f"it is of {opened.size[0]} x {opened.size[1]} pixels, its image of {size[0]} x {size[1]}")
        pixels = np.asarray(opened)
    if pixels.ndim != 2:
        raise ValueError(f"it has {pixels.shape[2]} channels, expected one, with a number for each object")
    objects = [number for number in np.unique(pixels) if number]
    if len(objects) > _MOST:
        raise ValueError(f"it has {len(objects)} different numbers, expected one for each object")
    for value in objects:
        split.add_mask(number, name, pixels == value)
