"""From a photo to the input of a classifier: as the original does it, or as a `preprocessor_config.json` says."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from hiera_det.data.resize import resized, short_side_size, side_before_crop

__all__ = ["ImageProcessor", "original_processor", "read_processor"]

MAX_PIXELS = Image.MAX_IMAGE_PIXELS or 2**26  # of a photo after resizing; thin ones grow before their centre is cut out
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CLIP_MEAN, _CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # OpenAI's CLIP
_RESAMPLE = {  # PIL's numbers
    0: InterpolationMode.NEAREST,
    1: InterpolationMode.LANCZOS,
    2: InterpolationMode.BILINEAR,
    3: InterpolationMode.BICUBIC,
    4: InterpolationMode.BOX,
    5: InterpolationMode.HAMMING,
}


@dataclass(frozen=True)
class ImageProcessor:
    """Resize by PIL, cut out the centre, scale, normalise.

    Attributes:
        size: of the short side, or (height, width); None: not resized.
        interpolation: of resizing.
        crop: (height, width) of the centre; None: not cut.
        center_crop: cuts the centre (3, *crop) out of an image (3, H, W).
        factor: from 0-255 to the range of mean and std.
        mean: of the channels, RGB.
        std: of the channels, RGB.
    """

    size: int | tuple[int, int] | None
    interpolation: InterpolationMode
    crop: tuple[int, int] | None
    center_crop: Callable[[Tensor, list[int]], Tensor]
    factor: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, pixels: np.ndarray) -> Tensor:
        """(H, W, 3) uint8 RGB to (3, h, w) float32.

        Raises:
            ValueError: the image is so thin that it would become very large before its centre is cut out.
        """
        height, width = pixels.shape[:2]
        size = self._size(height, width)
        if size[0] * size[1] > MAX_PIXELS:
            raise ValueError(
                f"an image of {height} x {width} pixels would be resized to {size[0]} x {size[1]}; expected at most"
                f" {MAX_PIXELS} pixels: cut it first"
            )
        image = resized(pixels, size, self.interpolation)  # (3, h, w)
        if self.crop:
            image = self.center_crop(image, list(self.crop))
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (self.mean, self.std))
        return ((image.double() * self.factor).float() - mean) / std

    def _size(self, height: int, width: int) -> tuple[int, int]:
        if self.size is None:
            return height, width
        return short_side_size(height, width, self.size) if isinstance(self.size, int) else self.size


def original_processor(side: int = 224) -> ImageProcessor:
    """As in the original's examples/inference.ipynb: short side to ``side`` / 0.875, bicubic, and a centre crop."""
    short = side_before_crop(side)
    return ImageProcessor(
        short, InterpolationMode.BICUBIC, (side, side), F.center_crop, 1 / 255, IMAGENET_MEAN, IMAGENET_STD
    )


def read_processor(path: Path) -> ImageProcessor:
    """As transformers' ``BitImageProcessor``, which its Hiera checkpoints name, with the settings of a file.

    Behaviour matched: ``BitImageProcessorPil`` of transformers 5. ``BitImageProcessor`` itself resizes by torchvision,
    whose values may differ by 2 of 255.

    Args:
        path: ``preprocessor_config.json``; what it does not say is as in ``BitImageProcessor``.

    Raises:
        ValueError: it is no such file, or of another processor.
    """
    try:
        settings = json.loads(path.read_bytes())
        kind = settings.get("image_processor_type", settings.get("feature_extractor_type"))
        if not str(kind).startswith("BitImageProcessor"):
            raise ValueError(f"the processor is {kind!r}; expected 'BitImageProcessor', as of transformers' Hiera")
        return _from_settings(settings)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: {error}") from error


def _from_settings(settings: dict[str, Any]) -> ImageProcessor:
    resample = settings.get("resample", 3)
    if not isinstance(resample, int) or resample not in _RESAMPLE:
        raise ValueError(f"resample is {resample!r}; expected one of PIL's numbers {sorted(_RESAMPLE)}")
    rescale, normalise = settings.get("do_rescale", True), settings.get("do_normalize", True)
    return ImageProcessor(
        _target_size(settings.get("size", 224)) if settings.get("do_resize", True) else None,
        _RESAMPLE[resample],
        _crop_size(settings.get("crop_size", 224)) if settings.get("do_center_crop", True) else None,
        _center_crop_as_transformers,
        float(settings.get("rescale_factor", 1 / 255)) if rescale else 1.0,
        _channels(settings, "image_mean", _CLIP_MEAN) if normalise else (0.0, 0.0, 0.0),
        _deviations(settings) if normalise else (1.0, 1.0, 1.0),
    )


def _channels(settings: dict[str, Any], name: str, default: tuple[float, ...]) -> tuple[float, ...]:
    values = settings.get(name, default)
    if len(values) != 3:
        raise ValueError(f"{name} is {values!r}; expected 3 numbers")
    numbers = tuple(map(float, values))
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"{name} is {values!r}; expected finite numbers")
    return numbers


def _deviations(settings: dict[str, Any]) -> tuple[float, ...]:
    numbers = _channels(settings, "image_std", _CLIP_STD)
    if min(numbers) <= 0:
        raise ValueError(f"image_std is {numbers!r}; expected numbers above 0")
    return numbers


def _crop_size(size: Any) -> tuple[int, int]:
    match size:
        case int() if size > 0:
            return size, size
        case {"height": int(height), "width": int(width)} if height > 0 and width > 0:
            return height, width
    raise ValueError(f"crop_size is {size!r}; expected 'height' and 'width', above 0")


def _target_size(size: Any) -> int | tuple[int, int]:
    if isinstance(size, dict):
        size = {key: value for key, value in size.items() if value is not None}
    match size:
        case int() if size > 0:
            return size
        case {"shortest_edge": int(short)} if len(size) == 1 and short > 0:
            return short
        case {"height": int(height), "width": int(width)} if len(size) == 2 and height > 0 and width > 0:
            return height, width
    raise ValueError(f"size is {size!r}; expected 'shortest_edge' alone, or 'height' and 'width', above 0")


def _center_crop_as_transformers(image: Tensor, size: list[int]) -> Tensor:
    """Halves are rounded down, where torchvision rounds to even; what is too small is padded with black."""
    (height, width), (crop_height, crop_width) = image.shape[-2:], size
    missing = max(crop_height - height, 0), max(crop_width - width, 0)
    top, left = ((n + 1) // 2 for n in missing)
    image = F.pad(image, [left, top, missing[1] - left, missing[0] - top])
    return F.crop(
        image, (image.shape[-2] - crop_height) // 2, (image.shape[-1] - crop_width) // 2, crop_height, crop_width
    )
