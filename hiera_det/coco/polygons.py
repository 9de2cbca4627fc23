"""Polygons as arrays of vertices: cut to a window, drawn by COCO's rules."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pycocotools.mask as mask_util

__all__ = ["clip_polygon", "encode", "outline_length", "rasterize"]


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


def outline_length(polygon: np.ndarray) -> float:
    """The length of a polygon's outline (k, 2), each side by its longer extent: what drawing it costs."""
    return float(np.abs(polygon - np.roll(polygon, 1, axis=0)).max(axis=1).sum())


def encode(polygons: Sequence[np.ndarray], height: int, width: int) -> dict:
    """The union of one or more polygons (k, 2) by COCO's rules, as a compressed RLE."""
    return mask_util.merge(mask_util.frPyObjects([polygon.reshape(-1) for polygon in polygons], height, width))


def rasterize(polygons: Sequence[np.ndarray], height: int, width: int) -> np.ndarray:
    """The union of polygons (k, 2) by COCO's rules: (height, width) uint8, empty for no polygon."""
    if not polygons:
        return np.zeros((height, width), dtype=np.uint8)
    return mask_util.decode(encode(polygons, height, width))
