"""Pixels of more than 8 bits brought to 0-255."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from PIL import Image

__all__ = ["declared_bits", "is_deep", "narrowed"]

logger = logging.getLogger(__name__)

_BITS_PER_SAMPLE, _MAX_SAMPLE_VALUE = 258, 281  # TIFF's tags
_GUESSED = (8, 12, 16)  # bits, where no file says it: of what cameras, scanners and microscopes give

_told: set[str] = set()  # what this process has warned of


def is_deep(mode: str) -> bool:
    """Whether the pixels of a mode of PIL are grey of more than 8 bits."""
    return mode.startswith("I") or mode == "F"


def declared_bits(image: Image.Image) -> int | None:
    """How many bits the file says its pixels have, of the 16 that they are stored in; None: it does not say.

    PNG's ``sBIT`` is not asked: it tells how precise pixels are that fill the 16 bits.

    Args:
        image: just opened, not decoded.
    """
    if image.format in ("JPEG2000", "PPM"):
        return 16  # they tell, and PIL has scaled the pixels by it
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        return None
    (bits, *_), (largest, *_) = (np.atleast_1d(tags.get(tag, 0)) for tag in (_BITS_PER_SAMPLE, _MAX_SAMPLE_VALUE))
    if 8 < bits < 16:
        return int(bits)
    whole = int(largest) + 1  # of what may be the image's own maximum, only a power of two is a depth
    return whole.bit_length() - 1 if 2**8 <= whole <= 2**16 and whole & (whole - 1) == 0 else None


def narrowed(values: np.ndarray, pixel_range: Sequence[float], bits: int | None, name: str) -> np.ndarray:
    """Bring pixels to uint8, the range that they have to 0-255; what lies outside of it is 0 or 255.

    Without a range that is known, uint16 is taken as 8 bits if nothing in the image is above 255, as 12 bits if nothing
    is above 4095, else as 16. The log says so once in a process where the image is of 12 bits or less, or dark.

    Args:
        values: of any shape, uint16, int32 or float32; NaN becomes 0.
        pixel_range: the values that become 0 and 255, as ``INPUT.PIXEL_RANGE`` gives them; empty: it is not known.
        bits: of uint16, see :func:`declared_bits`.
        name: what the image is called in the log.

    Raises:
        ValueError: the values are 32-bit numbers, and no range is given.
    """
    if len(pixel_range):
        low, high = pixel_range
    elif values.dtype == np.uint16:
        low, high = 0, 2 ** _bits_of(values, bits, name) - 1
    else:
        kind = "floats" if values.dtype.kind == "f" else "integers"
        raise ValueError(
            f"its pixels are 32-bit {kind}, whose range is unknown; save it with 8 or 16 bits, or set INPUT.PIXEL_RANGE"
        )
    if values.dtype == np.uint16:
        return _scaled(np.arange(2**16), low, high)[values]
    return _scaled(values, low, high)


def _scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """To equal parts of the range; of 2^n integers from 0 the upper 8 bits."""
    step = 0 if values.dtype.kind == "f" else 1
    scaled = np.nan_to_num((values.astype(np.float64) - low) * (256 / (high - low + step)), nan=0.0)
    return np.clip(scaled, 0, 255).astype(np.uint8)


def _bits_of(values: np.ndarray, bits: int | None, name: str) -> int:
    largest = int(values.max(initial=0))
    if bits is not None and largest < 2**bits:
        return bits
    guess = next(bits for bits in _GUESSED if largest < 2**bits)
    if largest < 2**14 and "bits" not in _told:
        _told.add("bits")
        logger.warning(
            "%s has pixels of 16 bits, the largest is %d: taken as %d bits, 0 to %d. This is decided image by image;"
            " set INPUT.PIXEL_RANGE, to [0, 4095] for 12 bits, and all are read alike",
            *(name, largest, guess, 2**guess - 1),
        )
    return guess
