"""Reading images: decoded, turned, of 8 bits and of as many channels as a model takes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypedDict

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageOps

from hiera_det.data.depth import declared_bits, is_deep, narrowed
from hiera_det.data.image_files import MAX_PIXELS, ImageHeader, UnreadableImageError, check_size, open_image, unreadable

__all__ = ["Reading", "UnreadableImageError", "convert_image", "header_problem", "read_image"]


logger = logging.getLogger(__name__)

_FOUR = ("RGBA", "RGBX")  # PIL's modes of four channels
_PHOTOMETRIC, _SAMPLE_FORMAT = 262, 339  # TIFF's tags

_told: set[str] = set()  # what this process has warned of


class Reading(TypedDict, total=False):
    """How images are read: arguments of :func:`read_image`, which :mod:`hiera_det.data.reading` takes from a config."""

    channels: int
    max_pixels: int | None
    pixel_range: Sequence[float]


def read_image(
    source: Path | bytes,
    *,
    name: str = "",
    channels: int = 3,
    max_pixels: int | None = MAX_PIXELS,
    pixel_range: Sequence[float] = (),
) -> Image.Image:
    """Decode an image to 8 bits, turned as its EXIF orientation says (as detectron2 does).

    Formats are those of :data:`~hiera_det.data.suffixes.IMAGE_FORMATS`, told by the content. Of several frames or pages
    the first is taken. For pixels of more than 8 bits see :func:`~hiera_det.data.depth.narrowed` (detectron2 has white
    for all above 255).

    Args:
        source: the file, or its content.
        name: what the image is called in messages; empty: the file's path.
        channels: 1: grey, PIL's mode "L"; 3: "RGB"; 4: "RGBX", as stored, of images that have four.
        max_pixels: an image of more is refused before it is decoded; None: any is taken.
        pixel_range: the values that become 0 and 255, of pixels of more than 8 bits; empty: as the file has them.

    Raises:
        UnreadableImageError: the file is missing, no regular file, empty, damaged, of another format or of too many
            pixels, the pixels are 32-bit numbers without ``pixel_range``, or there are fewer than four channels where
            four are wanted; the message names the image.
    """
    try:
        with open_image(source, max_pixels=max_pixels) as image:
            return _converted(image, source, str(name or source), channels, pixel_range)
    except MemoryError:
        raise
    except Exception as error:  # on damaged files PIL's decoders raise nearly anything, TypeError and RuntimeError too
        raise unreadable(source, name, error) from error


def convert_image(
    image: Image.Image,
    *,
    channels: int = 3,
    max_pixels: int | None = MAX_PIXELS,
    pixel_range: Sequence[float] = (),
) -> Image.Image:
    """Convert an image that is open as :func:`read_image` does; PIL alone would cut wider pixels off at 255.

    Raises:
        ValueError: as :func:`read_image` says of a file's content.
    """
    check_size(image, max_pixels)
    return _converted(image, None, getattr(image, "filename", "") or "a PIL image", channels, pixel_range)


def _converted(
    image: Image.Image, source: Path | bytes | None, name: str, channels: int, pixel_range: Sequence[float]
) -> Image.Image:
    layout, bits, file_format = _layout(image), declared_bits(image), image.format
    if file_format == "TIFF" and getattr(image, "is_animated", False) and "pages" not in _told:
        _told.add("pages")
        logger.warning("%s has several pages; of such files the first is read", name)
    tags = getattr(image, "tag_v2", {})
    white_is_zero = tags.get(_PHOTOMETRIC) == 0  # PIL turns it round for 8 bits alone
    unsigned = tags.get(_SAMPLE_FORMAT, (1,)) in (1, (1,))
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    image = ImageOps.exif_transpose(image)
    if is_deep(image.mode):
        values = np.asarray(image)
        if image.mode != "F" and (image.mode != "I" or file_format in ("PNG", "PPM")):  # PIL may have those 16 as 32
            values = values.astype(np.uint16)  # in this machine's order of bytes
        elif image.mode == "I" and unsigned:
            values = values.view(np.uint32)
        grey = narrowed(values, pixel_range, bits, name)
        image = Image.fromarray(255 - grey if white_is_zero else grey)
    elif source is not None and _lost(image, layout, channels, pixel_range):
        # Of TIFF, OpenCV gives the pixels as they are to be seen, of PNG as they are stored.
        turn = orientation if file_format == "PNG" else 1
        image = _read_by_opencv(source, turn, lambda colours: narrowed(colours, pixel_range, bits, name))
    return _with_channels(image, channels)


def header_problem(header: ImageHeader, reading: Reading) -> str | None:
    """Why an image cannot be read as wanted, as far as its header tells; None: nothing is known."""
    if header.mode == "F" or (header.mode == "I" and header.file_format not in ("PNG", "PPM")):
        return None if len(reading.get("pixel_range", ())) else "its pixels have 32 bits; set INPUT.PIXEL_RANGE"
    four = header.mode in _FOUR or _has_transparency(header.mode, header.transparent)
    if reading.get("channels", 3) == 4 and not four:
        return f"its mode is {header.mode}, but MODEL.PIXEL_MEAN has 4 values: expected four channels"
    return None


def _layout(image: Image.Image) -> str:
    """PIL's name of how the pixels are stored, such as "RGB;16B"."""
    tiles = getattr(image, "tile", None)
    arguments = tiles[0][3] if tiles else ""
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _lost(image: Image.Image, layout: str, channels: int, pixel_range: Sequence[float]) -> bool:
    """Whether PIL has dropped what matters: lower 8 bits of colours, or a fourth channel that is no transparency."""
    if channels == 4 and layout.startswith(("RGBX", "RGBa")):
        return True
    if ";16" not in layout or image.mode not in ("RGB", "RGBA", "LA"):
        return False
    return len(pixel_range) > 0 or int(np.asarray(image.convert("RGB")).max()) < 64  # of 14 bits or less


def _read_by_opencv(source: Path | bytes, orientation: int, narrow: Callable[[np.ndarray], np.ndarray]) -> Image.Image:
    """The channels as they are stored, RGB or RGBA; colours of more than 8 bits are brought to 8 together."""
    content = source if isinstance(source, bytes) else source.read_bytes()
    values: np.ndarray | None = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.ndim != 3:
        raise ValueError("OpenCV, which reads colours of 16 bits and fourth channels, cannot decode it")
    values = cv2.cvtColor(values, cv2.COLOR_BGR2RGB if values.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)
    if values.dtype != np.uint8:
        parts = np.split(values, range(3, values.shape[2]), axis=2)  # a fourth channel may be of another range
        values = np.concatenate([narrow(part) for part in parts], axis=2)
    image = Image.fromarray(values)
    image.getexif()[ExifTags.Base.Orientation] = orientation
    return ImageOps.exif_transpose(image)


def _with_channels(image: Image.Image, channels: int) -> Image.Image:
    if image.mode == {1: "L", 3: "RGB"}.get(channels):
        return image  # to convert it would copy it
    if channels == 3:
        return image.convert("RGB")
    if channels == 1:
        return image.convert("L") if image.mode in ("1", "LA") else image.convert("RGB").convert("L")
    if _has_transparency(image.mode, "transparency" in image.info):
        image = image.convert("RGBA")
    if image.mode not in _FOUR:
        raise ValueError(f"it has {len(image.getbands())} channels ({image.mode}), but MODEL.PIXEL_MEAN has 4 values")
    # PIL resizes RGBX channel by channel, but RGBA with its colours weighted by the fourth.
    return Image.frombytes("RGBX", image.size, image.tobytes())


def _has_transparency(mode: str, transparent: bool) -> bool:
    """Whether grey or palette images of a mode become four channels; ``transparent``: the palette has such colours."""
    return mode in ("PA", "LA", "La") or (mode == "P" and transparent)
