"""How a model's images are read, from its config."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from hiera_det.data.images import Reading

__all__ = ["FORMATS", "in_format", "reading_of"]

# INPUT.FORMAT: for how many channels, which MODEL.PIXEL_MEAN has a value for each of.
FORMATS = {"RGB": (1, 3, 4), "BGR": (1, 3, 4), "L": (1,), "RGBA": (4,)}


def reading_of(cfg: Any) -> Reading:
    """The arguments of :func:`~hiera_det.data.images.read_image` that a config gives.

    Args:
        cfg: ``MODEL.PIXEL_MEAN`` has as many values as images have channels; ``INPUT.FORMAT``, ``INPUT.MAX_PIXELS`` and
            ``INPUT.PIXEL_RANGE``.

    Raises:
        ValueError: a key has a value that makes no sense, or they do not fit one another; the message names the key.
    """
    channels, node = len(cfg.MODEL.PIXEL_MEAN), cfg.INPUT
    if channels not in (1, 3, 4):
        raise ValueError(f"MODEL.PIXEL_MEAN has {channels} values; expected 1 (grey), 3 (colour) or 4 channels")
    if len(cfg.MODEL.PIXEL_STD) != channels or not all(0 < value < math.inf for value in cfg.MODEL.PIXEL_STD):
        raise ValueError(
            f"MODEL.PIXEL_STD is {cfg.MODEL.PIXEL_STD}; expected {channels} numbers above 0, as many as PIXEL_MEAN has"
        )
    if channels not in FORMATS.get(node.FORMAT, ()):
        known = [name for name, numbers in FORMATS.items() if channels in numbers]
        raise ValueError(
            f"INPUT.FORMAT is {node.FORMAT!r}; expected {' or '.join(known)} for the {channels} channels of"
            " MODEL.PIXEL_MEAN"
        )
    if not all(isinstance(value, int | float) for value in cfg.MODEL.PIXEL_MEAN):
        raise ValueError(
            f"MODEL.PIXEL_MEAN is {cfg.MODEL.PIXEL_MEAN}; expected a number for each of {channels} channels"
        )
    if node.MAX_PIXELS < 1:
        raise ValueError(f"INPUT.MAX_PIXELS is {node.MAX_PIXELS}; expected at least 1")
    return Reading(channels=channels, max_pixels=node.MAX_PIXELS, pixel_range=_range(node.PIXEL_RANGE))


def in_format(image: Tensor, image_format: str) -> Tensor:
    """From RGB to the order of ``INPUT.FORMAT``, or back; a fourth channel stays behind the others.

    Args:
        image: (C, H, W).
        image_format: "BGR" turns the first three channels round, where there are so many.
    """
    if image_format != "BGR" or len(image) < 3:
        return image
    return image.flip(0) if len(image) == 3 else image[[2, 1, 0, 3]]


def _range(values: Any) -> tuple[float, ...]:
    numbers = tuple(values)
    wrong = [value for value in numbers if isinstance(value, bool) or not isinstance(value, int | float)]
    if numbers and (wrong or len(numbers) != 2 or not -math.inf < numbers[0] < numbers[1] < math.inf):
        raise ValueError(
            f"INPUT.PIXEL_RANGE is {values}; expected [] or the values that become black and white, such as [0, 4095]"
        )
    return numbers
