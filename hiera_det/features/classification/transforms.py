"""From pixels to the input of a classifier: torchvision's presets, or what a `preprocessor_config.json` says."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.models import ResNet50_Weights
from torchvision.models.video import MViT_V2_S_Weights
from torchvision.transforms import v2
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from hiera_det.data.resize import side_before_crop
from hiera_det.utils.json_text import read_json_object

__all__ = ["Transform", "clip_transform", "image_transform", "read_transform"]

Transform = Callable[[np.ndarray], Tensor]
"""From an image (H, W, 3) to (3, h, w) float32, or from a clip (T, H, W, 3) to (3, T, h, w); pixels are uint8 RGB."""

_CLIP_MEAN, _CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # OpenAI's CLIP
_LARGEST = 10_000  # pixels of a side
_MODES = ("NEAREST", "LANCZOS", "BILINEAR", "BICUBIC", "BOX", "HAMMING")  # by PIL's numbers


def image_transform(side: int = 224) -> Transform:
    """As in the original's examples/inference.ipynb: short side to ``side`` / 0.875, bicubic, and a centre crop."""
    preset = ResNet50_Weights.IMAGENET1K_V2.transforms(
        crop_size=side, resize_size=side_before_crop(side), interpolation=InterpolationMode.BICUBIC
    )
    return v2.Compose([v2.ToPILImage(), preset])


def clip_transform(side: int) -> Transform:
    """As in the original's examples/inference.ipynb, for clips that are not square too: the short side to ``side``.

    The third standard deviation there, 0.255, is taken for a slip: SlowFast trained the models with 0.225.
    """
    preset = MViT_V2_S_Weights.KINETICS400_V1.transforms(
        crop_size=(side, side), resize_size=(side,), mean=(0.45,) * 3, std=(0.225,) * 3
    )
    # The preset would round resized integers.
    to_floats = v2.ToDtype(torch.float32, scale=True)
    return v2.Compose([lambda frames: torch.from_numpy(frames).movedim(-1, 1), to_floats, preset])  # (T, 3, H, W)


def read_transform(path: Path) -> Transform:
    """As transformers' ``BitImageProcessor``, which its Hiera checkpoints name, with the settings of a file.

    Behaviour matched: ``BitImageProcessorPil`` of transformers 5. ``BitImageProcessor`` itself resizes by torchvision,
    whose values may differ by 2 of 255.

    Args:
        path: ``preprocessor_config.json``; what it does not say is as in ``BitImageProcessor``.

    Raises:
        ValueError: it is no such file, or of another processor.
    """
    settings = read_json_object(path)
    kind = settings.get("image_processor_type", settings.get("feature_extractor_type"))
    if not str(kind).startswith("BitImageProcessor"):
        raise ValueError(
            f"{path}: the processor is {kind!r:.80}; expected 'BitImageProcessor', as of transformers' Hiera"
        )
    try:
        return v2.Compose([v2.ToPILImage(), *_steps(settings)])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _steps(settings: dict[str, Any]) -> list[Callable]:
    """What torchvision's preset of images does, where each step may be left out."""
    steps: list[Callable] = []
    if settings.get("do_resize", True):
        resample = settings.get("resample", 3)
        if resample not in range(len(_MODES)):
            raise ValueError(f"resample is {resample!r:.80}; expected one of PIL's numbers, 0 to {len(_MODES) - 1}")
        steps.append(v2.Resize(_size(settings, "size"), InterpolationMode[_MODES[resample]]))
    if settings.get("do_center_crop", True):
        steps.append(partial(_center_crop, size=_size(settings, "crop_size")))
    mean, std = [0.0] * 3, [1.0] * 3
    if settings.get("do_normalize", True):
        mean = _numbers("image_mean", settings.get("image_mean", _CLIP_MEAN), -math.inf)
        std = _numbers("image_std", settings.get("image_std", _CLIP_STD), 0)
    factor = settings.get("rescale_factor", 1 / 255) if settings.get("do_rescale", True) else 1
    if type(factor) not in (int, float) or not factor > 0:
        raise ValueError(f"rescale_factor is {factor!r:.80}; expected a number above 0")
    # Mean and std are of pixels times the factor, torchvision's of pixels / 255.
    normalisation = v2.Normalize(*([value / (255 * factor) for value in values] for values in (mean, std)))
    return [*steps, v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), normalisation]


def _center_crop(image: Image.Image, size: list[int]) -> Image.Image:
    """Round halves down, where torchvision rounds them to even; what is too small is padded with black."""
    height, width = size[0], size[-1]
    return F.crop(image, (image.height - height) // 2, (image.width - width) // 2, height, width)


def _size(settings: dict[str, Any], name: str) -> list[int]:
    """Height and width, or one number: the short side of an image, or each side of a crop."""
    given = settings.get(name, 224)
    sides = given if isinstance(given, dict) else {"shortest_edge": given}
    match {key: side for key, side in sides.items() if side is not None}:
        case {"shortest_edge": int(short), **other} if 0 < short <= _LARGEST and not other:
            return [short]
        case {"height": int(height), "width": int(width), **other} if not other:
            if min(height, width) > 0 and max(height, width) <= _LARGEST:
                return [height, width]
    raise ValueError(
        f"{name} is {given!r:.80}; expected 'height' and 'width', or 'shortest_edge' alone, from 1 to {_LARGEST}"
    )


def _numbers(name: str, values: Any, above: float) -> list[float]:
    numbers = [float(value) for value in values if type(value) in (int, float)] if isinstance(values, Sequence) else []
    if len(numbers) != 3 or len(values) != 3 or not all(above < number < math.inf for number in numbers):
        raise ValueError(f"{name} is {values!r:.80}; expected 3 finite numbers{' above 0' if above == 0 else ''}")
    return numbers
