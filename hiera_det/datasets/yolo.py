"""YOLO: a ``data.yaml`` with classes and splits, and a text file beside each image, of boxes or polygons."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hiera_det.config.yaml_files import read_yaml
from hiera_det.data.folders import files_in
from hiera_det.data.suffixes import IMAGE_SUFFIXES
from hiera_det.datasets.files import SPLITS, common_root, images_in, size_of
from hiera_det.datasets.split import Split, with_classes
from hiera_det.utils.nested import shown
from hiera_det.utils.problems import Problems
from hiera_det.utils.text import read_text

__all__ = ["read_yolo", "yolo_file"]

_OUTSIDE = 0.01  # of the image, by which rounding may leave it; what is more is an error


def yolo_file(path: Path) -> Path | None:
    """Give the YAML file of a dataset: itself, ``data.yaml`` of a folder, or its one that has ``names``; None: none."""
    if path.is_file():
        return path if path.suffix.lower() in (".yaml", ".yml") else None
    names = [name for name in files_in(path) if name.lower().endswith((".yaml", ".yml"))]
    chosen = [name for name in names if name.lower() in ("data.yaml", "data.yml", "dataset.yaml")]
    chosen = chosen or [name for name in names if _has_names(path / name)]
    return path / chosen[0] if len(chosen) == 1 else None


def _has_names(file: Path) -> bool:
    try:
        return "names" in read_yaml(file)
    except (ValueError, OSError):
        return False


def read_yolo(path: Path) -> dict[str, Split]:
    """Read the dataset of a ``data.yaml``: ``names``, ``path``, and ``train``, ``val``, ``test``.

    A split is a folder of images, a list of them in a ``.txt``, or several of these. Labels stand where ``labels`` is
    in place of the last ``images`` of a path, or beside the image; an image without a file has no objects.

    Raises:
        OSError: a file cannot be read.
        ValueError: something is not as expected; the message names up to ten places.
    """
    config = read_yaml(path)
    names = _names(config, path)
    given = {split: config[key] for split, key in _keys(config).items()}
    if not given:
        raise ValueError(f"{path} names none of train, val and test")
    root = _root(config, path)
    images = {split: list(dict.fromkeys(_images(entry, root, path))) for split, entry in given.items()}
    for split, found in images.items():
        if not found:
            raise ValueError(f"{path}: there are no images in {shown(given[split])}, its {split}")
    problems = Problems(path)
    splits = {split: _read(found, names, problems) for split, found in images.items()}
    problems.raise_any()
    return with_classes(splits, names)


def _keys(config: dict[str, Any]) -> dict[str, str]:
    keys = {"train": "train", "val": "val" if "val" in config else "valid", "test": "test"}
    return {split: keys[split] for split in SPLITS if config.get(keys[split])}


def _names(config: dict[str, Any], path: Path) -> list[str]:
    names = config.get("names")
    if isinstance(names, dict) and sorted(names) == list(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names or not all(isinstance(name, str | int) for name in names):
        raise ValueError(f"{path}: names is {shown(names)}, expected a list of classes, or 0: name and so on")
    names = [str(name) for name in names]
    if len(set(names)) < len(names):
        raise ValueError(f"{path}: names has a class twice: {shown(names)}")
    if isinstance(config.get("nc"), int) and config["nc"] != len(names):
        raise ValueError(f"{path}: nc is {config['nc']}, but names has {len(names)} classes")
    return names


def _root(config: dict[str, Any], path: Path) -> Path:
    """The folder that splits start from: ``path``, of another machine perhaps, else that of the file."""
    own = config.get("path")
    place = path.parent / own if isinstance(own, str) else path.parent
    return place if place.is_dir() else path.parent


def _images(entry: Any, root: Path, path: Path) -> Iterator[Path]:
    if isinstance(entry, list):
        for one in entry:
            yield from _images(one, root, path)
        return
    if not isinstance(entry, str):
        raise ValueError(f"{path}: a split is {shown(entry)}, expected a folder, a .txt, or a list of these")
    place = root / entry
    if not place.exists() and entry.startswith("../"):  # as Roboflow writes it, from one folder further down
        place = root / entry[3:]
    if place.is_dir():
        yield from images_in(place.resolve())
    elif place.suffix == ".txt" and place.is_file():
        for line in read_text(place).splitlines():
            if line.strip():
                yield (place.parent / line.strip()).resolve()
    elif place.is_file() and place.suffix.lower() in IMAGE_SUFFIXES:
        yield place.resolve()
    else:
        raise FileNotFoundError(f"{path}: no folder or list of images at {place}")


def _labels_of(image: Path) -> Path:
    parts = list(image.parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _read(images: list[Path], names: list[str], problems: Problems) -> Split:
    split = Split(common_root(image.parent for image in images))
    for image in images:
        width, height = size_of(image)
        number = split.add_image(image, (width, height))
        labels = _labels_of(image)
        if not labels.is_file():
            continue
        for index, line in enumerate(read_text(labels).splitlines(), 1):
            if not line.strip():
                continue
            try:
                name, values = _object(line, names)
            except ValueError as error:
                problems.add(f"{labels}, line {index}", str(error))
                continue
            if len(values) == 4:
                x, y, w, h = values
                corners = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
                x1, y1, x2, y2 = (max(0.0, min(1.0, value)) for value in corners)
                split.add_box(number, name, (x1 * width, y1 * height, x2 * width, y2 * height))
            else:
                pixels = [max(0.0, min(1.0, it)) * (height if i % 2 else width) for i, it in enumerate(values)]
                split.add_polygons(number, name, [[round(value, 3) for value in pixels]])
    return split


def _object(line: str, names: list[str]) -> tuple[str, list[float]]:
    """Class and numbers of a line."""
    words = line.split()
    try:
        number, values = float(words[0]), [float(word) for word in words[1:]]
    except ValueError:
        raise ValueError(f"{shown(line)} is no line of numbers") from None
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        raise ValueError(f"{len(values)} numbers behind the class, expected 4 of a box, or x and y of 3 points or more")
    if number not in range(len(names)):
        raise ValueError(f"class {words[0]}, expected 0 to {len(names) - 1}: names has {len(names)}")
    if not all(-_OUTSIDE <= value <= 1 + _OUTSIDE and math.isfinite(value) for value in values):
        raise ValueError(f"{shown(line)}: coordinates outside 0 to 1; YOLO's are fractions of the image")
    return names[int(number)], values
