"""The masks of a COCO JSON, checked: what training and evaluation take, leave out and refuse."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_util

__all__ = ["read_segmentation", "report_maskless"]

logger = logging.getLogger(__name__)


def read_segmentation(
    annotation: dict[str, Any], size: tuple[int, int], where: str, *, mask_format: str = "bitmask"
) -> list[np.ndarray] | dict[str, Any]:
    """The mask of an annotation.

    Args:
        annotation: as in the JSON.
        size: (height, width) of its image in pixels.
        where: names file and annotation in messages.
        mask_format: "polygon" refuses RLE masks, "bitmask" takes both.

    Returns:
        Polygons (k, 2) in pixels, those of less than three points left out, perhaps none; or a compressed RLE.

    Raises:
        ValueError: there is no mask, or it is not as COCO defines it.
    """
    value = annotation.get("segmentation")
    if isinstance(value, dict):
        return _read_rle(value, size, where, mask_format)
    if not isinstance(value, list):
        got = repr(value) if "segmentation" in annotation else "missing"
        raise ValueError(
            f"{where}: field 'segmentation' is {got}, expected polygons or an RLE mask; with MODEL.MASK_ON False "
            "boxes alone are trained and evaluated"
        )
    try:
        flat = [np.asarray(polygon, dtype=np.float64) for polygon in value]
    except (TypeError, ValueError):
        flat = [np.array(np.nan)]
    if not all(polygon.ndim == 1 and np.isfinite(polygon).all() for polygon in flat):
        raise ValueError(f"{where}: field 'segmentation' is not a list of polygons [x1, y1, x2, y2, ...]")
    return [p.reshape(-1, 2) for p in flat if len(p) >= 6 and len(p) % 2 == 0]


def _read_rle(value: dict[str, Any], size: tuple[int, int], where: str, mask_format: str) -> dict[str, Any]:
    if mask_format == "polygon":
        raise ValueError(
            f"{where}: field 'segmentation' is an RLE mask, which INPUT.MASK_FORMAT polygon cannot hold; "
            "set INPUT.MASK_FORMAT bitmask"
        )
    height, width = size
    counts = value.get("counts")
    if value.get("size") != [height, width]:
        raise ValueError(f"{where}: RLE 'size' is {value.get('size')}, expected the image's {[height, width]}")
    if isinstance(counts, str):
        return {"size": [height, width], "counts": counts}
    if not isinstance(counts, list) or not all(isinstance(c, int) and c >= 0 for c in counts):
        got = type(counts).__name__
        raise ValueError(f"{where}: RLE 'counts' is a {got}, expected a string or a list of counts")
    if sum(counts) != height * width:
        raise ValueError(f"{where}: RLE 'counts' add up to {sum(counts)}, expected {height * width}")
    return mask_util.frPyObjects(value, height, width)


def report_maskless(json_file: Path, left_out: int, kept: int) -> None:
    """Log how many instances were left out because no polygon of theirs has three points.

    Raises:
        ValueError: these were all there are.
    """
    if left_out and not kept:
        raise ValueError(
            f"{json_file}: none of the {left_out} instances has a mask; with MODEL.MASK_ON False boxes alone are "
            "trained and evaluated"
        )
    if left_out:
        logger.warning("%s: left out %d instances without a polygon of at least 3 points", json_file, left_out)
