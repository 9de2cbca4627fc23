"""Instance masks as polygons: a tv_tensor with kernels of its own, so that transforms v2 move them too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import torch
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

__all__ = ["Polygons", "clip_polygon", "rasterize"]


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


def clip_polygon(polygon: np.ndarray, height: int, width: int) -> list[np.ndarray]:
    """Cut a polygon (k, 2) to the window 0..width, 0..height: none, one or several polygons (k, 2).

    Gives the region that ``CropTransform.apply_polygons`` of fvcore gives for polygons without
    self-intersection.
    """
    pieces = [polygon]
    for axis, limit in ((0, width), (1, height)):
        pieces = [part for piece in pieces for part in _clip_half_plane(piece, piece[:, axis], axis, 0.0)]
        pieces = [part for piece in pieces for part in _clip_half_plane(piece, limit - piece[:, axis], axis, limit)]
    return pieces


def _clip_half_plane(polygon: np.ndarray, inside: np.ndarray, axis: int, line: float) -> list[np.ndarray]:
    """Keep the part of a polygon on one side of an axis-parallel line.

    The boundary falls into chains of kept vertices, each from a crossing of the line to another. Along the
    line the crossings bound, two by two, the sections inside the polygon: these join the chains to closed
    pieces.

    Args:
        polygon: vertices (k, 2).
        inside: positive for the vertices to keep (k,).
        axis: 0 for a line of constant x, 1 of constant y.
        line: its coordinate.
    """
    keep = inside > 0
    if not keep.any():
        return []
    if (inside >= 0).all():
        return [polygon]
    first = int(np.flatnonzero(keep & ~np.roll(keep, 1))[0])  # begin where the boundary comes in
    polygon, inside, keep = (np.roll(values, -first, axis=0) for values in (polygon, inside, keep))
    chains: list[np.ndarray] = []
    begins = np.flatnonzero(keep & ~np.roll(keep, 1))
    ends = np.flatnonzero(keep & ~np.roll(keep, -1))
    for begin, end in zip(begins, ends, strict=True):
        enter, leave = (_crossing(polygon, inside, i, j, axis, line) for i, j in ((begin - 1, begin), (end, end + 1)))
        chains.append(np.concatenate([enter[None], polygon[begin : end + 1], leave[None]]))
    crossings = np.array([chain[i, 1 - axis] for chain in chains for i in (0, -1)])  # enter, leave, enter, ...
    order = np.argsort(crossings, kind="stable")
    partner = {int(a): int(b) for a, b in zip(order[::2], order[1::2], strict=True)}
    partner |= {b: a for a, b in partner.items()}
    return _join(chains, partner)


def _crossing(polygon: np.ndarray, inside: np.ndarray, i: np.intp, j: np.intp, axis: int, line: float) -> np.ndarray:
    j = j % len(polygon)
    share = inside[i] / (inside[i] - inside[j])
    point = polygon[i] + share * (polygon[j] - polygon[i])
    point[axis] = line
    return point


def _join(chains: list[np.ndarray], partner: dict[int, int]) -> list[np.ndarray]:
    """Join chains to closed polygons; end 2i is where chain i begins, 2i + 1 where it ends."""
    pieces: list[np.ndarray] = []
    left = set(range(len(chains)))
    while left:
        start = end = 2 * min(left)
        parts = []
        while True:
            index = end // 2
            left.discard(index)
            parts.append(chains[index] if end % 2 == 0 else chains[index][::-1])
            end = partner[end ^ 1]  # walk the chain, then along the line
            if end == start:
                break
        pieces.append(np.concatenate(parts))
    return pieces


def rasterize(polygons: Sequence[np.ndarray], height: int, width: int) -> np.ndarray:
    """The union of polygons (k, 2) by COCO's rules: (height, width) uint8, empty for no polygon."""
    if not polygons:
        return np.zeros((height, width), dtype=np.uint8)
    rles = mask_util.frPyObjects([polygon.reshape(-1) for polygon in polygons], height, width)
    return mask_util.decode(mask_util.merge(rles))
