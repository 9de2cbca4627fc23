"""Drawing of boxes, masks, class names, scores and lines of text on images."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from hiera_det.utils.escape import printable
from hiera_det.utils.files import atomic_write

__all__ = ["draw_instances", "draw_lines", "side_by_side", "write_image"]

HEADER, GAP = 26, 6  # pixels, of two images side by side
FONT = cv2.FONT_HERSHEY_SIMPLEX
MASK_OPACITY = 0.45
FARTHEST = 2**15  # pixels, beyond which OpenCV's numbers end
LONGEST_TEXT = 300  # characters
LONGEST_ENLARGED = 4096  # pixels to which the long side of a small image is enlarged at most


def draw_instances(
    image: np.ndarray, instances: Mapping[str, Any], class_names: Sequence[str] = (), *, min_side: int = 0
) -> np.ndarray:
    """Draw instances on a copy of an image: mask, its outline, box, class name and score, in a colour per class.

    Args:
        image: (H, W, 3) uint8, RGB.
        instances: ``boxes`` (N, 4) xyxy and ``labels`` (N,) 1..K; optionally ``scores`` (N,) and ``masks`` (N, H, W)
            or ``polygons`` (N lists of (k, 2)), all in pixels of ``image``.
        class_names: of labels 1..K; where there is none, the number stands in its place.
        min_side: small images are enlarged by an integer factor until their shorter side has that many pixels.

    Returns:
        (H', W', 3) uint8, RGB.
    """
    height, width = image.shape[:2]
    canvas, factor = _enlarged(image, min_side)
    boxes = np.nan_to_num(_numpy(instances["boxes"]).reshape(-1, 4) * factor).clip(-FARTHEST, FARTHEST)
    labels = _numpy(instances["labels"]).astype(int)
    scores = _numpy(instances["scores"]) if "scores" in instances else None
    thickness = max(1, round(min(canvas.shape[:2]) / 400))

    largest_first = np.argsort(-(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), kind="stable")
    for i in largest_first:
        mask = _mask(instances, i, height, width)
        if mask is not None:
            _paint_mask(canvas, mask, _colour(labels[i]), thickness)
    for i in largest_first:
        x1, y1, x2, y2 = (int(v) for v in boxes[i].round())
        cv2.rectangle(canvas, (x1, y1), (x2, y2), _colour(labels[i]), thickness, cv2.LINE_AA)
    for i in largest_first:
        known = 1 <= labels[i] <= len(class_names)
        text = class_names[labels[i] - 1] if known else str(labels[i])
        if scores is not None:
            text += f" {100 * scores[i]:.0f}%"
        _write(canvas, text, boxes[i], _colour(labels[i]))
    return canvas


def draw_lines(image: np.ndarray, lines: Sequence[str], *, min_side: int = 0) -> np.ndarray:
    """Write lines of text on a copy of an image, from its upper left corner on, each on a filled strip.

    Args:
        image: (H, W, 3) uint8, RGB.
        lines: as many of them are drawn as there is room for.
        min_side: as of :func:`draw_instances`.

    Returns:
        (H', W', 3) uint8, RGB.
    """
    canvas, _ = _enlarged(image, min_side)
    bottom = 0
    for number, line in enumerate(lines, 1):
        bottom = _write(canvas, line, np.array([0, bottom]), _colour(number), below=True)
    return canvas


def side_by_side(panels: Sequence[np.ndarray], titles: Sequence[str]) -> np.ndarray:
    """Put images (H, W, 3) uint8 RGB of one height next to each other, each under its title."""
    height = panels[0].shape[0]
    width = sum(panel.shape[1] for panel in panels) + GAP * (len(panels) - 1)
    sheet = np.full((height + HEADER, width, 3), 255, np.uint8)
    start = 0
    for image, title in zip(panels, titles, strict=True):
        panel = sheet[:, start : start + image.shape[1]]
        panel[HEADER:] = image
        header = np.ascontiguousarray(panel[:HEADER])
        text = printable(title)[:LONGEST_TEXT]
        panel[:HEADER] = cv2.putText(header, text, (6, 18), FONT, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
        start += image.shape[1] + GAP
    return sheet


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Write an image (H, W, 3) uint8 RGB, in the format of the path's suffix.

    Raises:
        ValueError: OpenCV cannot write that format.
    """
    target = Path(path)
    try:
        written, data = cv2.imencode(target.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    except cv2.error:
        written = False
    if not written:
        raise ValueError(f"cannot write an image as {target.suffix!r}: {target}; expected .png or .jpg")
    with atomic_write(target) as temporary:
        temporary.write_bytes(data.tobytes())


def _mask(instances: Mapping[str, Any], index: int, height: int, width: int) -> np.ndarray | None:
    if "masks" in instances:
        return _numpy(instances["masks"][index]).astype(np.uint8)
    if "polygons" in instances:
        mask = np.zeros((height, width), np.uint8)
        polygons = [np.nan_to_num(_numpy(one)).clip(-FARTHEST, FARTHEST) for one in instances["polygons"][index]]
        cv2.fillPoly(mask, [polygon.round().astype(np.int32) for polygon in polygons], 1)
        return mask
    return None


def _paint_mask(canvas: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int], thickness: int) -> None:
    """Blend a colour over a mask (h, w) uint8, which may be smaller than the canvas, and draw its outline."""
    left, top, width, height = cv2.boundingRect(mask)
    if not width:
        return
    y, x = (to / of for to, of in zip(canvas.shape[:2], mask.shape, strict=True))
    rows, columns = slice(round(top * y), round((top + height) * y)), slice(round(left * x), round((left + width) * x))
    region = canvas[rows, columns]  # of a large image the mask's part alone
    size = (region.shape[1], region.shape[0])
    part = cv2.resize(mask[top : top + height, left : left + width], size, interpolation=cv2.INTER_NEAREST)
    for channel, value in enumerate(colour):
        blend = ((1 - MASK_OPACITY) * np.arange(256) + MASK_OPACITY * value).astype(np.uint8)
        plane = region[:, :, channel]
        np.copyto(plane, blend[plane], where=part.astype(bool))
    outline, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(canvas, outline, -1, colour, thickness, cv2.LINE_AA, offset=(columns.start, rows.start))


def _enlarged(image: np.ndarray, min_side: int) -> tuple[np.ndarray, int]:
    """A copy, enlarged by an integer so that the shorter side has ``min_side`` pixels if possible, and the factor."""
    short, long = sorted(image.shape[:2])
    factor = max(1, min(-(-min_side // short), LONGEST_ENLARGED // long))
    return cv2.resize(np.ascontiguousarray(image), None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR), factor


def _write(
    canvas: np.ndarray, text: str, corner: np.ndarray, colour: tuple[int, int, int], *, below: bool = False
) -> int:
    """A label on a filled strip: above a corner (x, y), or below it, as also where there is no room above.

    Returns:
        The strip's lower edge.
    """
    text = printable(text)[:LONGEST_TEXT]  # OpenCV ends the process on halves of characters
    size = min(max(min(canvas.shape[:2]) / 1100, 0.38), 1.2)
    weight = 1 if size < 0.7 else 2
    (width, height), baseline = cv2.getTextSize(text, FONT, size, weight)
    left = int(min(max(corner[0], 0), max(canvas.shape[1] - width - 2, 0)))
    has_room = corner[1] > height + baseline and not below
    bottom = int(corner[1]) if has_room else int(corner[1]) + height + baseline + 2
    cv2.rectangle(canvas, (left, bottom - height - baseline - 1), (left + width + 2, bottom), colour, cv2.FILLED)
    dark = sum(weight * channel for weight, channel in zip((0.299, 0.587, 0.114), colour, strict=True)) < 140
    ink = (255, 255, 255) if dark else (0, 0, 0)
    cv2.putText(canvas, text, (left + 1, bottom - baseline), FONT, size, ink, weight, cv2.LINE_AA)
    return bottom


def _colour(label: int) -> tuple[int, int, int]:
    """RGB; hues a golden ratio apart, so that neighbouring labels differ."""
    red, green, blue = colorsys.hsv_to_rgb((label * 0.618034) % 1.0, 0.85, 1.0 if label % 2 else 0.75)
    return int(255 * red), int(255 * green), int(255 * blue)


def _numpy(values: Any) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(torch.as_tensor(values))
