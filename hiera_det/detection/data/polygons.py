"""Instance masks as polygons: a tv_tensor with kernels of its own, so that transforms v2 move them too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from hiera_det.coco.polygons import clip_polygon

__all__ = ["Polygons"]


class Polygons(tv_tensors.TVTensor):
    """The polygons of all instances of an image: every vertex, (V, 2) float64 in pixels (x, y).

    Coordinates are continuous: the image spans 0..width and 0..height. (``tv_tensors.KeyPoints`` are pixel
    indices, which a flip sends to width - 1 - x; these go to width - x.)

    Attributes:
        canvas_size: (height, width) of the image.
        counts: for each instance the number of vertices of each of its polygons.
    """

    canvas_size: tuple[int, int]
    counts: list[list[int]]

    @classmethod
    def from_lists(cls, instances: Sequence[Sequence[np.ndarray]], canvas_size: tuple[int, int]) -> Polygons:
        """Gather polygons (k, 2), listed by instance."""
        parts = [polygon for polygons in instances for polygon in polygons]
        vertices = np.concatenate(parts) if parts else np.zeros((0, 2))
        counts = [[len(polygon) for polygon in polygons] for polygons in instances]
        return cls._make(torch.from_numpy(vertices.astype(np.float64)), canvas_size, counts)

    @classmethod
    def _make(cls, vertices: torch.Tensor, canvas_size: tuple[int, int], counts: list[list[int]]) -> Polygons:
        polygons = vertices.as_subclass(cls)
        polygons.canvas_size = canvas_size
        polygons.counts = counts
        return polygons

    @classmethod
    def wrap(cls, tensor: torch.Tensor, like: tv_tensors.TVTensor, **kwargs: Any) -> Polygons:
        """Give moved vertices the instances, and unless ``canvas_size`` is given the canvas, of ``like``."""
        assert isinstance(like, Polygons)
        return cls._make(tensor, kwargs.get("canvas_size", like.canvas_size), like.counts)

    def to_lists(self) -> list[list[np.ndarray]]:
        """Polygons (k, 2) float64, listed by instance."""
        ends = np.cumsum([count for counts in self.counts for count in counts])
        parts = iter(np.split(self.as_subclass(torch.Tensor).numpy(), ends))
        return [[next(parts) for _ in counts] for counts in self.counts]


@F.register_kernel(F.horizontal_flip, Polygons)
def _flip_horizontally(polygons: Polygons) -> Polygons:
    vertices = polygons.as_subclass(torch.Tensor)
    flipped = torch.stack([polygons.canvas_size[1] - vertices[:, 0], vertices[:, 1]], dim=1)
    return Polygons.wrap(flipped, polygons)


@F.register_kernel(F.vertical_flip, Polygons)
def _flip_vertically(polygons: Polygons) -> Polygons:
    vertices = polygons.as_subclass(torch.Tensor)
    flipped = torch.stack([vertices[:, 0], polygons.canvas_size[0] - vertices[:, 1]], dim=1)
    return Polygons.wrap(flipped, polygons)


@F.register_kernel(F.resize, Polygons)
def _resize(polygons: Polygons, size: Sequence[int], **_: Any) -> Polygons:
    height, width = polygons.canvas_size
    ratios = torch.tensor([size[1] / width, size[0] / height], dtype=torch.float64)
    return Polygons.wrap(polygons.as_subclass(torch.Tensor) * ratios, polygons, canvas_size=(size[0], size[1]))


@F.register_kernel(F.crop, Polygons)
def _crop(polygons: Polygons, top: int, left: int, height: int, width: int) -> Polygons:
    origin = np.array([left, top], dtype=np.float64)
    kept = [
        [part for polygon in instance for part in clip_polygon(polygon - origin, height, width)]
        for instance in polygons.to_lists()
    ]
    return Polygons.from_lists(kept, (height, width))
