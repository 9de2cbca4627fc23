"""Reading image files."""

from __future__ import annotations

import struct
from pathlib import Path

from PIL import Image, ImageOps

__all__ = ["UnreadableImageError", "read_image"]

_UNREADABLE = (
    *(OSError, SyntaxError, ValueError, EOFError, struct.error),  # what PIL's decoders raise on damaged files
    *(Image.DecompressionBombError, Image.DecompressionBombWarning),  # the warning where warnings are errors
)


class UnreadableImageError(OSError):
    """An image file that is missing, empty, damaged, or of more pixels than PIL takes."""


def read_image(path: Path) -> Image.Image:
    """Decode an image file to 8-bit RGB, turned as its EXIF orientation says (as detectron2 does).

    Raises:
        UnreadableImageError: the file is missing, empty, damaged, or of more pixels than PIL takes
            (``PIL.Image.MAX_IMAGE_PIXELS``); the message names it.
    """
    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except _UNREADABLE as error:
        size = f"{path.stat().st_size} bytes" if path.is_file() else "no such file"
        raise UnreadableImageError(f"cannot read image {path} ({size}): {error}") from error
