"""Maps of a frozen backbone that were computed before: what a run asks of them, and how a batch is made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from torch import Tensor

__all__ = ["ImageMaps", "stack_maps"]


class ImageMaps(Protocol):
    """Maps by image id, such as :class:`hiera_det.features.stored_maps.StoredMaps`."""

    @property
    def failed(self) -> Mapping[str, str]:
        """Of each image that has none because it could not be read, the reason."""
        ...

    def check_ids(self, ids: Iterable[str]) -> None:
        """Raise ValueError unless each image has maps or has failed."""
        ...

    def read(self, name: str, size: tuple[int, int]) -> dict[str, Tensor]:
        """By stage (C, h, w) of an image that has (height, width) pixels; ValueError if they are of another size."""
        ...

    def compare(self, name: str, stored: Mapping[str, Tensor], computed: Mapping[str, Tensor]) -> None:
        """Raise ValueError where maps of an image as read differ from those that a run computes."""
        ...


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
