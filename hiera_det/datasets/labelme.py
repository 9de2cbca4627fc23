"""LabelMe: a JSON for each image, with shapes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hiera_det.data.folders import files_in
from hiera_det.datasets.files import images_by_stem, size_of, split_folders
from hiera_det.datasets.split import Split, with_classes
from hiera_det.utils.json_text import read_json
from hiera_det.utils.nested import shown
from hiera_det.utils.problems import Problems

__all__ = ["is_labelme", "read_labelme"]

_CIRCLE = 64  # corners


def is_labelme(folder: Path) -> bool:
    """Whether the first JSON of a folder, or of one of its splits, is LabelMe's."""
    return any(_first_is_labelme(its) for its in split_folders(folder).values())


def _first_is_labelme(folder: Path) -> bool:
    names = _json_files(folder)
    try:
        content = read_json(folder / names[0]) if names else None
    except (ValueError, OSError):
        return False
    return isinstance(content, dict) and isinstance(content.get("shapes"), list)


def read_labelme(folder: Path) -> dict[str, Split]:
    """Read polygons, rectangles and circles; shapes of one label and ``group_id`` are parts of one object.

    Points, lines and other shapes are left out and counted. An image without a JSON has no objects.

    Raises:
        OSError: a file cannot be read.
        ValueError: files are not as expected; the message names up to ten.
    """
    problems = Problems(folder)
    splits = {name: _read(its, problems) for name, its in split_folders(folder).items()}
    problems.raise_any()
    return with_classes(splits)


def _json_files(folder: Path) -> list[str]:
    return [name for name in files_in(folder) if name.lower().endswith(".json") and not name.startswith(".")]


def _read(folder: Path, problems: Problems) -> Split:
    split = Split(folder)
    images = images_by_stem(folder)
    with_json = set()
    for name in _json_files(folder):
        file = folder / name
        try:
            content = read_json(file)
            shapes = content["shapes"]
            objects = _objects(shapes, split)
        except (ValueError, TypeError, KeyError) as error:
            problems.add(str(file), f"not LabelMe's ({error})")
            continue
        named = str(content.get("imagePath") or "").replace("\\", "/")
        image = images.get(Path(named).stem) or images.get(file.stem)
        if image is None:
            problems.add(str(file), f"there is no image {shown(named or file.stem)} beside it")
            continue
        with_json.add(image)
        number = split.add_image(image, size_of(image))
        for label, polygons, box in objects:
            if box is None:
                split.add_polygons(number, label, polygons)
            else:
                split.add_box(number, label, box)
    for image in sorted(set(images.values()) - with_json):
        split.add_image(image, size_of(image))
    return split


Object = tuple[str, list[list[float]], tuple[float, float, float, float] | None]


def _objects(shapes: Iterable[Any], split: Split) -> list[Object]:
    """Label, outlines of the parts, and of a rectangle alone its corners."""
    groups: dict[Any, list[tuple[str, str, list[tuple[float, float]]]]] = {}
    for index, shape in enumerate(shapes):
        label, kind = str(shape["label"]), shape.get("shape_type") or "polygon"
        if kind not in ("polygon", "rectangle", "circle"):
            split.notes[f"shapes of kind {kind}, left out"] += 1
            continue
        points = [(float(x), float(y)) for x, y in shape["points"]]
        if not all(math.isfinite(value) for point in points for value in point):
            raise ValueError(f"shape number {index} has points that are no numbers")
        if len(points) < {"polygon": 3, "rectangle": 2, "circle": 2}[kind]:
            split.notes["shapes of too few points, left out"] += 1
            continue
        group = shape.get("group_id")
        key = ("alone", index) if group is None else (label, str(group))
        groups.setdefault(key, []).append((label, kind, points))
    return [_object(parts) for parts in groups.values()]


def _object(parts: list[tuple[str, str, list[tuple[float, float]]]]) -> Object:
    label = parts[0][0]
    if len(parts) == 1 and parts[0][1] == "rectangle":
        (xs, ys) = zip(*parts[0][2], strict=True)
        return label, [], (min(xs), min(ys), max(xs), max(ys))
    return label, [[value for point in _outline(kind, points) for value in point] for _, kind, points in parts], None


def _outline(kind: str, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    if kind == "polygon":
        return points
    (ax, ay), (bx, by) = points[0], points[1]
    if kind == "rectangle":
        return [(ax, ay), (bx, ay), (bx, by), (ax, by)]
    radius = math.hypot(bx - ax, by - ay)
    angles = [2 * math.pi * k / _CIRCLE for k in range(_CIRCLE)]
    return [(ax + radius * math.cos(angle), ay + radius * math.sin(angle)) for angle in angles]
