"""Reading an item: the pixels of an image or of a clip."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hiera_det.data.images import read_image
from hiera_det.data.video import clip_offsets, read_nearest
from hiera_det.inputs.items import Item

__all__ = ["UnreadableItemError", "check_boxes", "read_item"]

_BORDER = 1.0  # pixels by which a box may lie outside its image: annotations round


class UnreadableItemError(ValueError):
    """An item that cannot be read, or not with its boxes; the message, of one line, names it."""


def read_item(
    item: Item,
    *,
    num_frames: int = 16,
    rate: int = 4,
    channels: int = 3,
    max_pixels: int | None,
    pixel_range: Sequence[float] = (),
) -> np.ndarray:
    """Decode an item.

    Args:
        item: an image or a clip.
        num_frames: of a clip.
        rate: spacing of a clip's frames in thirtieths of a second.
        channels: of an image, see :func:`~hiera_det.data.images.read_image`; clips have 3.
        max_pixels: an image, or a clip's frame, of more is not decoded; None: any is.
        pixel_range: of an image, see :func:`~hiera_det.data.images.read_image`.

    Returns:
        (H, W, C) uint8, RGB where C is 3; of a clip (T, H, W, 3).

    Raises:
        UnreadableItemError: the file is missing, damaged or too large, or a clip's time lies behind the end.
    """
    try:
        if item.time is not None:
            wanted = item.time + clip_offsets(num_frames, rate)  # (T,)
            return read_nearest(Path(item.path), item.time, wanted, max_pixels=max_pixels)
        source = Path(item.path) if item.offset < 0 else _read_member(item)
        image = read_image(source, name=item.source, channels=channels, max_pixels=max_pixels, pixel_range=pixel_range)
        pixels = np.array(image)  # writable
        return pixels[..., None] if channels == 1 else pixels  # (H, W, C)
    except (OSError, ValueError) as error:
        raise UnreadableItemError(_one_line(f"item {item.id}: {error}")) from error


def check_boxes(item: Item, height: int, width: int) -> np.ndarray:
    """The item's boxes, clipped to the image: (N, 4) float32 xyxy in pixels.

    Raises:
        UnreadableItemError: a box lies outside the image by more than a pixel, or wholly.
    """
    given = np.array(item.boxes, np.float64).reshape(-1, 4)
    size = np.array([width, height, width, height])
    clipped = np.clip(given, 0, size)
    outside = (np.abs(clipped - given) > _BORDER).any(axis=1) | (clipped[:, 2:] <= clipped[:, :2]).any(axis=1)
    if outside.any():
        box = ",".join(f"{value:g}" for value in given[outside][0])
        reason = f"box {box} lies outside the image ({width} x {height})"
        raise UnreadableItemError(_one_line(f"item {item.id}: {reason}"))
    return clipped.astype(np.float32)


def _read_member(item: Item) -> bytes:
    with open(item.path, "rb") as file:
        file.seek(item.offset)
        content = file.read(item.length)
    if len(content) < item.length:
        raise ValueError(f"{item.path} has become shorter since its members were listed")
    return content


def _one_line(text: str) -> str:
    return " ".join(text.split())
