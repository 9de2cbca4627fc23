"""Crops for pretraining, by torchvision's transforms v2; all frames of a clip are cut alike."""

from __future__ import annotations

from fvcore.common.config import CfgNode
from torch import Tensor
from torchvision.transforms.v2 import Compose, InterpolationMode, RandomHorizontalFlip, RandomResizedCrop, Transform
from torchvision.transforms.v2 import functional as F

__all__ = ["build_train_transform", "centre"]


def build_train_transform(cfg: CfgNode) -> Transform:
    """A random crop of random area and shape, resized bicubically, and a flip, as ``INPUT`` says.

    Raises:
        ValueError: there is no such flip.
    """
    node = cfg.INPUT
    flips: dict[str, list[Transform]] = {"horizontal": [RandomHorizontalFlip(0.5)], "none": []}
    if node.RANDOM_FLIP not in flips:
        raise ValueError(f"INPUT.RANDOM_FLIP is {node.RANDOM_FLIP!r}; expected one of {', '.join(flips)}")
    crop = RandomResizedCrop(
        list(node.SIZE),
        scale=tuple(node.CROP_SCALE),
        ratio=tuple(node.CROP_RATIO),
        interpolation=InterpolationMode.BICUBIC,
        antialias=True,
    )
    return Compose([crop, *flips[node.RANDOM_FLIP]])


def centre(pixels: Tensor, size: list[int]) -> Tensor:
    """Cut the largest centre of the crop's shape out, and resize it bicubically.

    Args:
        pixels: (..., H, W) uint8.
        size: height and width of the crop.
    """
    scale = max(wanted / there for wanted, there in zip(size, pixels.shape[-2:], strict=True))
    cut = [max(1, round(wanted / scale)) for wanted in size]
    return F.resize(F.center_crop(pixels, cut), size, interpolation=InterpolationMode.BICUBIC, antialias=True)
