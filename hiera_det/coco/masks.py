"""The masks of a COCO JSON: polygons and RLEs, validated in one place before any C code sees them."""

from __future__ import annotations

from typing import Any

import numpy as np

from hiera_det.coco.polygons import clip_polygon, outline_length
from hiera_det.coco.records import Segmentation
from hiera_det.coco.rle import read_rle
from hiera_det.coco.values import FieldError, Values, shown

__all__ = ["read_segmentation"]

_MIN_NUMBERS = 6  # of a polygon: three points
_MOST_POINTS = 5000  # of a polygon that is to be clipped, which takes its time
_LONGEST = 2**21  # pixels of a polygon's outline; pycocotools keeps five points for each


def read_segmentation(entry: dict[str, Any], height: int, width: int, values: Values, *, mask_format: str) -> Any:
    """Read the mask of an annotation.

    Args:
        entry: the annotation, as in the JSON.
        height: of its image, in pixels.
        width: likewise.
        values: counts what is odd.
        mask_format: "polygon" refuses RLE masks, "bitmask" takes both.

    Returns:
        Polygons (k, 2) of at least three points in pixels, or a compressed RLE; None: there is no such polygon.

    Raises:
        FieldError: there is no field, or it is not as COCO defines it.
    """
    value = entry.get("segmentation")
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        values.taken["RLE masks that are in a list"] += 1
        value = value[0]
    if isinstance(value, dict):
        if mask_format == "polygon" and value.keys() & {"counts", "size"}:
            raise FieldError(
                "field 'segmentation' is an RLE mask, which INPUT.MASK_FORMAT polygon cannot hold; set"
                " INPUT.MASK_FORMAT bitmask"
            )
        return read_rle(value, height, width, values)
    if not isinstance(value, list):
        got = shown(value) if "segmentation" in entry else "missing"
        raise FieldError(
            f"field 'segmentation' is {got}, expected polygons or an RLE mask; with MODEL.MASK_ON False boxes alone are"
            " trained and evaluated"
        )
    return _read_polygons(value, height, width, values)


def _read_polygons(value: list[Any], height: int, width: int, values: Values) -> Segmentation | None:
    polygons = []
    for numbers in _listed(value, values):
        if numbers is None:
            values.taken["polygons that are null, left out"] += 1
            continue
        flat = _floats(numbers, values)
        if flat is None:
            raise FieldError(f"field 'segmentation' is not a list of polygons [x1, y1, x2, y2, ...]: {shown(value)}")
        if len(flat) < _MIN_NUMBERS or len(flat) % 2:
            values.taken["polygons without three points, left out"] += 1
            continue
        polygon = flat.reshape(-1, 2)
        polygons += _within_reach(polygon, height, width, values)
    return polygons or None


def _listed(value: list[Any], values: Values) -> list[Any]:
    """The polygons of a field: one alone may stand without its list, as numbers or as points."""
    if len(value) >= _MIN_NUMBERS and len(value) % 2 == 0 and not any(isinstance(it, list) for it in value):
        values.taken["polygons that are not in a list"] += 1
        return [value]
    if len(value) >= _MIN_NUMBERS // 2 and all(_is_point(it) for it in value):
        values.taken["polygons that are not in a list"] += 1
        return [[number for point in value for number in point]]
    return value


def _is_point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and not any(isinstance(it, list) for it in value)


def _floats(numbers: Any, values: Values) -> np.ndarray | None:
    """The numbers of a polygon, (N,) float64; None: they are something else."""
    if not isinstance(numbers, list):
        return None
    if numbers and all(_is_point(it) for it in numbers):
        values.taken["polygons that list points in place of numbers"] += 1
        numbers = [number for point in numbers for number in point]
    if all(type(number) is float for number in numbers):
        flat = np.array(numbers, np.float64)
    else:
        flat = np.array([values.number(number) for number in numbers], np.float64)
    return flat if np.isfinite(flat).all() else None


def _within_reach(polygon: np.ndarray, height: int, width: int, values: Values) -> list[np.ndarray]:
    """The polygon; one that reaches far beyond the image is cut, to the image and its size around it."""
    size = np.array([width, height])
    if ((polygon < -size) | (polygon > 2 * size)).any():
        if len(polygon) > _MOST_POINTS:
            raise FieldError(
                f"field 'segmentation' has a polygon of {len(polygon)} points that reaches far beyond the image"
            )
        values.taken["polygons that reach far beyond their image, clipped"] += 1
        pieces = [piece - size for piece in clip_polygon(polygon + size, 3 * height, 3 * width)]
    else:
        pieces = [polygon]
    if sum(map(outline_length, pieces)) > _LONGEST:
        raise FieldError(f"field 'segmentation' has a polygon whose outline is longer than {_LONGEST} pixels")
    return pieces
