"""Maps of single images or clips to maps of a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

__all__ = ["stack_maps"]


def stack_maps(
    maps: Sequence[Mapping[str, Tensor]], sizes: Mapping[str, tuple[int, int]] | None = None
) -> dict[str, Tensor]:
    """Pad maps with zeros, to the right and below, and stack them.

    Args:
        maps: of each image the same stages, (C, h, w), or (C, T, h, w) of a clip.
        sizes: (height, width) of each stage's batch, in cells, as large as its largest map at least; None: that.

    Returns:
        By stage (B, C, height, width), or (B, C, T, height, width).
    """
    stacked = {}
    for stage in maps[0]:
        own = [one[stage] for one in maps]
        largest = [max(feature.shape[dim] for feature in own) for dim in (-2, -1)]
        height, width = largest if sizes is None else sizes[stage]
        stacked[stage] = own[0].new_zeros(len(own), *own[0].shape[:-2], height, width)
        for row, feature in zip(stacked[stage], own, strict=True):
            row[..., : feature.shape[-2], : feature.shape[-1]] = feature
    return stacked
