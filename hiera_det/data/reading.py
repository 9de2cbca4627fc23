"""How a model's images are read, from its config."""

from __future__ import annotations

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
        ValueError: the keys do not fit one another; the message names one.
    """
    channels, node = len(cfg.MODEL.PIXEL_MEAN), cfg.INPUT
    if channels not in (1, 3, 4):
        raise ValueError(f"MODEL.PIXEL_MEAN has {channels} values; expected 1 (grey), 3 (colour) or 4 channels")
    if channels not in FORMATS.get(node.FORMAT, ()):
        known = [name for name, numbers in FORMATS.items() if channels in numbers]
        raise ValueError(
            f"INPUT.FORMAT is {node.FORMAT!r}; expected {' or '.join(known)} for the {channels} channels of"
            " MODEL.PIXEL_MEAN"
        )
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
    if numbers and (len(numbers) != 2 or numbers[0] >= numbers[1]):
        raise ValueError(
            f"INPUT.PIXEL_RANGE is {values}; expected [] or the values that become black and white, such as [0, 4095]"
        )
    return numbers
