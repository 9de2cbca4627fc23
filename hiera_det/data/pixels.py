"""Images in whatever form a caller has them: paths, URLs, PIL images, arrays, tensors."""

from __future__ import annotations

import urllib.request
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hiera_det.data.image_files import MAX_PIXELS
from hiera_det.data.images import Reading, UnreadableImageError, convert_image, read_image

__all__ = ["ImageSource", "as_image", "as_rgb", "to_pixels"]

ImageSource = str | Path | Image.Image | np.ndarray | Tensor

TIMEOUT = 30  # seconds without a byte
MAX_BYTES = 1 << 28  # of a file behind a URL
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def to_pixels(
    source: ImageSource,
    *,
    channels: int = 3,
    max_pixels: int | None = MAX_PIXELS,
    pixel_range: Sequence[float] = (),
) -> np.ndarray:
    """Bring an image to (H, W, channels) uint8: grey, RGB, or RGB with a fourth channel.

    Args:
        source: a path or http(s) URL, a PIL image, an array (H, W, 3) of uint8 RGB, or a tensor (3, H, W) RGB, of uint8
            or of floats from 0 to 1. Files and PIL images are turned as their EXIF orientation says. Arrays and tensors
            may also have one channel where ``channels`` is 1, and have four where it is 4.
        channels: see :func:`~hiera_det.data.images.read_image`.
        max_pixels: of what is yet to be decoded.
        pixel_range: of files and PIL images.

    Raises:
        UnreadableImageError: the file cannot be had or decoded.
        ValueError: it is none of these, or of another shape, type or range.
    """
    reading = Reading(channels=channels, max_pixels=max_pixels, pixel_range=pixel_range)
    if isinstance(source, str) and source.lower().startswith(("http://", "https://")):
        return _planes(read_image(_fetched(source), name=source, **reading))
    if isinstance(source, str | Path):
        return _planes(read_image(Path(source), **reading))
    if isinstance(source, Image.Image):
        return _planes(convert_image(source, **reading))
    if isinstance(source, Tensor):
        return _in_channels(_from_tensor(source, channels), channels)
    if isinstance(source, np.ndarray):
        return _in_channels(_from_array(source, channels), channels)
    raise ValueError(
        f"expected an image: a path, a URL, a PIL image, an array (H, W, 3) or a tensor (3, H, W); got"
        f" a {type(source).__name__}"
    )


def as_rgb(pixels: np.ndarray) -> np.ndarray:
    """(H, W, C) uint8 as :func:`to_pixels` gives it to (H, W, 3), to look at: grey three times, a fourth left out."""
    return pixels.repeat(3, axis=2) if pixels.shape[2] == 1 else np.ascontiguousarray(pixels[..., :3])


def as_image(pixels: np.ndarray) -> Image.Image:
    """(H, W, C) uint8 as :func:`to_pixels` gives it to the PIL image of mode "L", "RGB" or "RGBX" that it was."""
    if pixels.shape[2] == 4:
        return Image.frombytes("RGBX", (pixels.shape[1], pixels.shape[0]), pixels.tobytes())
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def _planes(image: Image.Image) -> np.ndarray:
    pixels = np.asarray(image)
    return pixels if pixels.ndim == 3 else pixels[..., None]  # (H, W, C)


def _in_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """To grey where colours come and grey is wanted."""
    if channels == 1 and pixels.shape[2] == 3:
        return _planes(Image.fromarray(pixels).convert("L"))
    return np.ascontiguousarray(pixels)  # channels may have been reversed


def _from_array(array: np.ndarray, channels: int) -> np.ndarray:
    if channels == 1 and array.ndim == 2:
        array = array[..., None]
    wanted = _accepted(channels)
    if array.ndim != 3 or array.shape[2] not in wanted or array.dtype != np.uint8 or not array.size:
        raise ValueError(
            f"expected an array (H, W, {' or '.join(map(str, wanted))}) of uint8, {_meaning(channels)}; got"
            f" {array.shape} of {array.dtype}. Arrays of OpenCV are BGR: reverse their last axis"
        )
    return array


def _from_tensor(tensor: Tensor, channels: int) -> np.ndarray:
    wanted = _accepted(channels)
    if tensor.ndim != 3 or tensor.shape[0] not in wanted or not tensor.numel():
        raise ValueError(
            f"expected a tensor ({' or '.join(map(str, wanted))}, H, W), {_meaning(channels)}; got"
            f" {tuple(tensor.shape)}"
        )
    if tensor.is_meta or tensor.layout != torch.strided or tensor.is_quantized:
        kind = "without values (meta)" if tensor.is_meta else f"of layout {tensor.layout}, {tensor.dtype}"
        raise ValueError(f"expected a dense tensor with its values; got one {kind}")
    if tensor.dtype in _FLOATS:
        if not ((tensor >= 0) & (tensor <= 1)).all():
            raise ValueError(
                "expected a float tensor with values from 0 to 1; got values outside of it. For values from 0 to 255"
                " give uint8; undo a normalisation"
            )
        tensor = (tensor.detach().float() * 255).round().to(torch.uint8)
    elif tensor.dtype != torch.uint8:
        raise ValueError(f"expected a tensor of uint8, or of floats from 0 to 1; got {tensor.dtype}")
    return tensor.permute(1, 2, 0).contiguous().cpu().numpy()  # (C, H, W) -> (H, W, C)


def _accepted(channels: int) -> tuple[int, ...]:
    return (1, 3) if channels == 1 else (channels,)


def _meaning(channels: int) -> str:
    return {1: "grey or RGB", 3: "RGB"}.get(channels, "RGB and a fourth channel")


def _fetched(url: str) -> bytes:
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "hiera_det"})
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            content = response.read(MAX_BYTES + 1)
    except (OSError, ValueError, HTTPException) as error:
        raise UnreadableImageError(f"cannot fetch image {url}: {error}") from error
    if len(content) > MAX_BYTES:
        raise UnreadableImageError(f"image {url} has more than {MAX_BYTES} bytes")
    return content
