"""Images in whatever form a caller has them: paths, URLs, PIL images, arrays, tensors."""

from __future__ import annotations

import urllib.request
from pathlib import Path
from urllib.parse import urlparse

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hiera_det.data.images import UnreadableImageError, convert_image, read_image

__all__ = ["ImageSource", "to_pixels"]

ImageSource = str | Path | Image.Image | np.ndarray | Tensor

TIMEOUT = 30  # seconds without a byte
MAX_BYTES = 1 << 28  # of a file behind a URL


def to_pixels(source: ImageSource) -> np.ndarray:
    """Bring an image to (H, W, 3) uint8 RGB.

    Args:
        source: a path or http(s) URL, a PIL image, an array (H, W, 3) of uint8 RGB, or a tensor (3, H, W) RGB, of uint8
            or of floats from 0 to 1. Files and PIL images are turned as their EXIF orientation says.

    Raises:
        UnreadableImageError: the file cannot be had or decoded.
        ValueError: it is none of these, or of another shape, type or range.
    """
    if isinstance(source, str) and urlparse(source).scheme in ("http", "https"):
        return np.asarray(read_image(_fetched(source), name=source))
    if isinstance(source, str | Path):
        return np.asarray(read_image(Path(source)))
    if isinstance(source, Image.Image):
        return np.asarray(convert_image(source))
    if isinstance(source, Tensor):
        return _from_tensor(source)
    if isinstance(source, np.ndarray):
        if source.ndim != 3 or source.shape[2] != 3 or source.dtype != np.uint8 or not source.size:
            raise ValueError(
                f"expected an array (H, W, 3) of uint8, RGB; got {source.shape} of {source.dtype}. Arrays of OpenCV are"
                " BGR: reverse their last axis"
            )
        return np.ascontiguousarray(source)  # channels may have been reversed
    raise ValueError(
        f"expected an image: a path, a URL, a PIL image, an array (H, W, 3) or a tensor (3, H, W); got"
        f" a {type(source).__name__}"
    )


def _from_tensor(tensor: Tensor) -> np.ndarray:
    if tensor.ndim != 3 or tensor.shape[0] != 3 or not tensor.numel():
        raise ValueError(f"expected a tensor (3, H, W), RGB; got {tuple(tensor.shape)}")
    if tensor.is_floating_point():
        if not ((tensor >= 0) & (tensor <= 1)).all():
            raise ValueError(
                "expected a float tensor with values from 0 to 1; got values outside of it. For values from 0 to 255"
                " give uint8; undo a normalisation"
            )
        tensor = (tensor.detach().float() * 255).round().to(torch.uint8)
    elif tensor.dtype != torch.uint8:
        raise ValueError(f"expected a tensor of uint8, or of floats from 0 to 1; got {tensor.dtype}")
    return tensor.permute(1, 2, 0).contiguous().cpu().numpy()  # (3, H, W) -> (H, W, 3)


def _fetched(url: str) -> bytes:
    request = urllib.request.Request(url, headers={"User-Agent": "hiera_det"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            content = response.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise UnreadableImageError(f"cannot fetch image {url}: {error}") from error
    if len(content) > MAX_BYTES:
        raise UnreadableImageError(f"image {url} has more than {MAX_BYTES} bytes")
    return content
