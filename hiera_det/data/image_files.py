"""Opening image files: which formats, which kinds of file, of how many pixels."""

from __future__ import annotations

import io
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from hiera_det.data.suffixes import IMAGE_FORMATS
from hiera_det.utils.regular import check_regular, open_regular

__all__ = [
    "MAX_PIXELS",
    "ImageHeader",
    "UnreadableImageError",
    "check_size",
    "open_image",
    "read_header",
    "unreadable",
]

MAX_PIXELS = 200_000_000  # the default of INPUT.MAX_PIXELS
_PIL_DEFAULT = 1024**3 // 4 // 3  # pixels, of which PIL warns; of twice as many it opens none
_PIL_LIMIT = threading.Lock()  # held while it is off


class UnreadableImageError(OSError):
    """An image that is missing, no file, damaged, of too many pixels, or of pixels that are not as expected."""


@dataclass(frozen=True)
class ImageHeader:
    """What an image's file says of its size.

    Attributes:
        width: in pixels, as stored.
        height: as stored.
        orientation: EXIF's, 1 to 8; from 5 on, width and height are exchanged when the image is read.
        mode: PIL's name of the kind of pixels.
        file_format: PIL's name of it.
        transparent: a palette has a colour that is transparent.
    """

    width: int
    height: int
    orientation: int
    mode: str = field(default="RGB", compare=False)
    file_format: str | None = field(default=None, compare=False)
    transparent: bool = field(default=False, compare=False)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as the image is read."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def read_header(source: Path | bytes, *, name: str = "", max_pixels: int | None = MAX_PIXELS) -> ImageHeader:
    """Read size and orientation without decoding; of a PNG, EXIF that stands behind the pixels is not seen.

    Args:
        source: the file, or its content.
        name: what the image is called in messages; empty: the file's path.
        max_pixels: an image of more is refused; None: any is taken.

    Raises:
        UnreadableImageError: as of :func:`hiera_det.data.images.read_image`, as far as the header tells.
    """
    try:
        with open_image(source, max_pixels=max_pixels) as image:
            orientation = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)  # PNG's own would decode
            width, height = image.size
            if isinstance(image, TiffImageFile):  # whose size is the turned image's
                width, height = (image.tag_v2[tag] for tag in (ExifTags.Base.ImageWidth, ExifTags.Base.ImageLength))
            orientation = orientation if orientation in range(1, 9) else 1
            transparent = "transparency" in image.info
            return ImageHeader(width, height, orientation, image.mode, image.format, transparent)
    except MemoryError:
        raise
    except Exception as error:  # on damaged files PIL raises nearly anything
        raise unreadable(source, name, error) from error


def open_image(source: Path | bytes, *, max_pixels: int | None = MAX_PIXELS) -> Image.Image:
    """Open an image of one of the formats that are read, without decoding it.

    ``max_pixels`` takes the place of PIL's limit, unless the program has set ``PIL.Image.MAX_IMAGE_PIXELS`` itself.

    Raises:
        OSError, ValueError: it is missing, no regular file, of another format, or of more than ``max_pixels``.
    """
    if not isinstance(source, bytes):
        check_regular(source)
    try:
        image = _opened(source)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        image = _opened_without_limit(source)
    try:
        check_size(image, max_pixels)
    except ValueError:
        image.close()
        raise
    return image


def check_size(image: Image.Image, max_pixels: int | None) -> None:
    """Check that an image has pixels, and not more than allowed.

    Raises:
        ValueError: it has not.
    """
    size = f"{image.width} x {image.height} pixels"
    if not image.width * image.height:
        raise ValueError(f"it has {size}, expected at least 1 x 1")
    if max_pixels is not None and image.width * image.height > max_pixels:
        raise ValueError(f"{size} are more than the {max_pixels} allowed (INPUT.MAX_PIXELS)")


def unreadable(source: Path | bytes, name: str, error: Exception) -> UnreadableImageError:
    """The error that names an image, and says why it cannot be read."""
    if isinstance(error, UnidentifiedImageError):
        # PIL's own words for this name an object in memory where the content was given.
        other = _other_format(source)
        reason = (
            f"its content is of the format {other}; read are {', '.join(IMAGE_FORMATS)}"
            if other
            else "its content is of no image format that PIL knows"
        )
    else:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
    if isinstance(source, bytes):
        return UnreadableImageError(f"cannot read image {name} ({len(source)} bytes): {reason}")
    try:
        size = f"{os.stat(source).st_size} bytes" if os.path.lexists(source) else "no such file"
    except (OSError, ValueError):
        size = "no file"
    return UnreadableImageError(f"cannot read image {name or source} ({size}): {reason}")


def _opened_without_limit(source: Path | bytes) -> Image.Image:
    with _PIL_LIMIT:
        if Image.MAX_IMAGE_PIXELS != _PIL_DEFAULT:
            return _opened(source)
        Image.MAX_IMAGE_PIXELS = None
        try:
            return _opened(source)
        finally:
            Image.MAX_IMAGE_PIXELS = _PIL_DEFAULT


def _other_format(source: Path | bytes) -> str | None:
    """Which of PIL's formats that are not read a content begins as."""
    if isinstance(source, bytes):
        head = source[:16]
    else:
        with open_regular(source) as file:
            head = file.read(16)
    others = {name: accept for name, (_, accept) in Image.OPEN.items() if name not in IMAGE_FORMATS and accept}
    return next((name for name, accept in others.items() if len(head) == 16 and accept(head) is True), None)


def _opened(source: Path | bytes) -> Image.Image:
    return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=list(IMAGE_FORMATS))
