"""Resizing of decoded images, as the original evaluates its classifiers and as features are taken."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

__all__ = ["center_offset", "resized", "short_side_size", "shortest_edge_size", "side_before_crop"]

CROP_SHARE = 224 / 256  # of the short side that the original's centre crop keeps


def side_before_crop(side: int) -> int:
    """The short side to which the original resizes an image before it cuts out a centre of ``side`` pixels."""
    return int(side / CROP_SHARE)


def short_side_size(height: int, width: int, short: int) -> tuple[int, int]:
    """New (height, width): the short side ``short``, the long one rounded down, as torchvision's ``Resize`` does."""
    return height * short // min(height, width), width * short // min(height, width)


def shortest_edge_size(height: int, width: int, short_side: int, max_size: int) -> tuple[int, int]:
    """New (height, width): short side ``short_side`` unless the long one exceeds ``max_size``; halves up."""
    scale = short_side / min(height, width)
    new_height, new_width = (short_side, scale * width) if height < width else (scale * height, short_side)
    if max(new_height, new_width) > max_size:
        scale = max_size / max(new_height, new_width)
        new_height, new_width = new_height * scale, new_width * scale
    return max(int(new_height + 0.5), 1), max(int(new_width + 0.5), 1)


def center_offset(length: int, side: int) -> int:
    """Where a centre of ``side`` pixels begins: halves to the even number, as torchvision's ``CenterCrop`` does."""
    return round((length - side) / 2)


def resized(pixels: np.ndarray, size: tuple[int, int], interpolation: InterpolationMode | None) -> Tensor:
    """Resize an image by PIL, or a clip's frames by torchvision with antialiasing.

    Args:
        pixels: ((T,) H, W, 3) uint8.
        size: new (height, width).
        interpolation: None: the size stays.

    Returns:
        ((T,) 3, h, w) uint8.
    """
    same = interpolation is None or pixels.shape[-3:-1] == size
    if pixels.ndim == 3 and not same:
        image = F.resize(Image.fromarray(pixels), list(size), interpolation=interpolation)
        return F.pil_to_tensor(image)  # (3, h, w)
    frames = torch.from_numpy(pixels).movedim(-1, -3)  # ((T,) 3, H, W)
    return frames if same else F.resize(frames, list(size), interpolation=interpolation, antialias=True)
