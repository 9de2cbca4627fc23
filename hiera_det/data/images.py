"""Reading image files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

__all__ = ["UnreadableImageError", "convert_image", "read_header", "read_image"]


class UnreadableImageError(OSError):
    """An image that is missing, empty, damaged, of too many pixels, or of pixels without a fixed range."""


def read_image(source: Path | bytes, *, name: str = "", max_pixels: int | None = None) -> Image.Image:
    """Decode an image to 8-bit RGB, turned as its EXIF orientation says (as detectron2 does).

    Of 16-bit grey the upper 8 bits are taken, as PIL does of 16-bit colour (detectron2 has white for all above 255).

    Args:
        source: the file, or its content.
        name: what the image is called in messages; empty: the file's path.
        max_pixels: an image of more is refused before it is decoded; PIL refuses those of more than twice
            ``PIL.Image.MAX_IMAGE_PIXELS`` in any case.

    Raises:
        UnreadableImageError: the file is missing, empty, damaged, or of too many pixels, or the pixels are 32-bit
            numbers, for which no range is given; the message names the image.
    """
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            if max_pixels is not None and image.width * image.height > max_pixels:
                raise ValueError(f"{image.width} x {image.height} pixels are more than the {max_pixels} allowed")
            return convert_image(image)
    except MemoryError:
        raise
    except Exception as error:  # on damaged files PIL's decoders raise nearly anything, TypeError and RuntimeError too
        raise _unreadable(error, source, name) from error


def convert_image(image: Image.Image) -> Image.Image:
    """Convert an image to 8-bit RGB, turned as its EXIF orientation says; PIL alone would cut wider pixels off at 255.

    Raises:
        ValueError: the pixels are 32-bit numbers, for which no range is given.
    """
    file_format = image.format
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or (image.mode == "I" and file_format in ("PNG", "PPM")):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        kind = "integers" if image.mode == "I" else "floats"
        raise ValueError(f"its pixels are 32-bit {kind}, whose range is unknown; save it with 8 or 16 bits")
    return image.convert("RGB")


def _unreadable(error: Exception, source: Path | bytes, name: str) -> UnreadableImageError:
    # PIL's own words for this name an object in memory where the content was given.
    unknown = isinstance(error, UnidentifiedImageError)
    reason = "its content is of no image format that PIL knows" if unknown else error
    return UnreadableImageError(f"cannot read image {_describe(source, name)}: {reason}")


def read_header(path: Path) -> tuple[int, int, int]:
    """Read an image's height and width in pixels, as they are stored, and its EXIF orientation (1: none).

    Raises:
        UnreadableImageError: the file is missing, empty, or damaged at its head.
    """
    try:
        with Image.open(path) as image:
            return image.height, image.width, int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except MemoryError:
        raise
    except Exception as error:
        raise _unreadable(error, path, "") from error


def _describe(source: Path | bytes, name: str) -> str:
    if isinstance(source, bytes):
        return f"{name} ({len(source)} bytes)"
    return f"{name or source} ({f'{source.stat().st_size} bytes' if source.is_file() else 'no such file'})"
