"""Augmentation with detectron2's arithmetic, by torchvision's transforms v2 on PIL images.

PIL resizes as detectron2 does (antialiased bilinear), so pixels are equal for equal random draws. Behaviour
matched: ``detectron2/data/detection_utils.py:build_augmentation`` and ``ResizeShortestEdge``,
``ResizeScale``, ``FixedSizeCrop(pad=False)`` of ``detectron2/data/transforms/augmentation_impl.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from fvcore.common.config import CfgNode
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from hiera_det.data.resize import shortest_edge_size
from hiera_det.detection.data.bitmaps import Bitmaps
from hiera_det.detection.data.polygons import Polygons

__all__ = [
    "DetectionTransform",
    "FixedSizeCrop",
    "ResizeScale",
    "ResizeShortestEdge",
    "build_test_transform",
    "build_train_transform",
]


class DetectionTransform:
    """Steps for an image and its sample, with word on whether they cut (boxes are then taken from the masks).

    Random numbers come from torch's CPU generator.
    """

    def __init__(self, steps: Sequence[v2.Transform], *, crops: bool) -> None:
        self.steps = v2.Compose(list(steps) or [v2.Identity()])
        self.crops = crops

    def __call__(self, image: Image.Image, sample: dict[str, Any]) -> tuple[Image.Image, dict[str, Any]]:
        """Transform a PIL image and a sample of :func:`hiera_det.detection.data.targets.make_sample`."""
        return self.steps(image, sample)


def build_train_transform(cfg: CfgNode) -> DetectionTransform:
    """Flip and resize, or flip and large-scale jitter, by the keys below ``INPUT``.

    Raises:
        ValueError: a key has a value that is not supported; the message names both.
    """
    node = cfg.INPUT
    flips: dict[str, list[v2.Transform]] = {
        "none": [],
        "horizontal": [v2.RandomHorizontalFlip(0.5)],
        "vertical": [v2.RandomVerticalFlip(0.5)],
    }
    if node.RANDOM_FLIP not in flips:
        raise ValueError(f"INPUT.RANDOM_FLIP is {node.RANDOM_FLIP!r}, expected one of {', '.join(flips)}")
    flip = flips[node.RANDOM_FLIP]
    if not node.CROP.ENABLED:
        resize = ResizeShortestEdge(node.MIN_SIZE_TRAIN, node.MAX_SIZE_TRAIN, node.MIN_SIZE_TRAIN_SAMPLING)
        return DetectionTransform([resize, *flip], crops=False)
    if node.CROP.TYPE != "large_scale_jitter":
        raise ValueError(f"INPUT.CROP.TYPE is {node.CROP.TYPE!r}, only 'large_scale_jitter' is supported")
    jitter = [ResizeScale(node.CROP.SIZE, node.MAX_SIZE_TRAIN), FixedSizeCrop(node.MAX_SIZE_TRAIN)]
    return DetectionTransform([*flip, *jitter], crops=True)


def build_test_transform(cfg: CfgNode) -> DetectionTransform:
    """Resize to ``INPUT.MIN_SIZE_TEST`` (0: not at all), the long side at most ``INPUT.MAX_SIZE_TEST``."""
    sides = [cfg.INPUT.MIN_SIZE_TEST]
    return DetectionTransform([ResizeShortestEdge(sides, cfg.INPUT.MAX_SIZE_TEST, "choice")], crops=False)


def _uniform(low: float, high: float) -> float:
    return low + (high - low) * torch.rand(()).item()


def _image_size(inputs: list[Any]) -> tuple[int, int]:
    image = next(value for value in inputs if isinstance(value, Image.Image))
    return image.height, image.width


class _Resize(v2.Transform):
    """Resizes everything to the ``size`` among its parameters, (height, width); None: leaves it."""

    _transformed_types = (Image.Image, tv_tensors.BoundingBoxes, Bitmaps, Polygons)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        size = params["size"]
        return inpt if size is None else self._call_kernel(F.resize, inpt, size=size)


class ResizeShortestEdge(_Resize):
    """Resize the short side to a length drawn from ``sides``, the long side to ``max_size`` at most.

    Args:
        sides: lengths in pixels; 0 leaves the image as it is.
        max_size: of the long side, in pixels.
        sampling: "choice" of one of ``sides``, or a whole number in the "range" of two of them, both
            included.
    """

    def __init__(self, sides: Sequence[int] | int, max_size: int, sampling: str) -> None:
        super().__init__()
        self.sides = (sides,) if isinstance(sides, int) else tuple(sides)
        self.max_size = max_size
        self.sampling = sampling
        if sampling not in ("choice", "range"):
            raise ValueError(f"INPUT.MIN_SIZE_TRAIN_SAMPLING is {sampling!r}, expected 'choice' or 'range'")
        if sampling == "range" and (len(self.sides) != 2 or self.sides[0] > self.sides[1]):
            raise ValueError(f"INPUT.MIN_SIZE_TRAIN is {self.sides}, expected two lengths, low and high, for 'range'")

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the length of the short side."""
        if self.sampling == "range":
            side = int(torch.randint(self.sides[0], self.sides[1] + 1, ()))
        else:
            side = self.sides[int(torch.randint(len(self.sides), ()))]
        size = shortest_edge_size(*_image_size(flat_inputs), side, self.max_size) if side else None
        return {"size": size}


class ResizeScale(_Resize):
    """Resize to the largest size that fits a square of ``target`` pixels times a factor from ``scales``."""

    def __init__(self, scales: Sequence[float], target: int) -> None:
        super().__init__()
        if scales[0] > scales[1]:
            raise ValueError(f"INPUT.CROP.SIZE is {list(scales)}, expected the range of scales [low, high]")
        self.scales = scales
        self.target = target

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the factor."""
        side = self.target * _uniform(*self.scales)
        height, width = _image_size(flat_inputs)
        ratio = min(side / height, side / width)
        return {"size": (max(round(height * ratio), 1), max(round(width * ratio), 1))}


class FixedSizeCrop(v2.Transform):
    """Cut a window of at most ``size`` pixels a side; one random share places it in both directions."""

    _transformed_types = (Image.Image, tv_tensors.BoundingBoxes, Bitmaps, Polygons)

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the window's place."""
        height, width = _image_size(flat_inputs)
        share = _uniform(0.0, 1.0)
        return {
            "top": round(max(height - self.size, 0) * share),
            "left": round(max(width - self.size, 0) * share),
            "height": min(self.size, height),
            "width": min(self.size, width),
        }

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Cut one of the inputs."""
        return self._call_kernel(F.crop, inpt, **params)
