"""Which mask units a model sees, and taking them by index; nothing here waits for the device but `count_kept`."""

from __future__ import annotations

import torch
from torch import Tensor

from hiera_det.hiera.tokens import Size

__all__ = ["count_kept", "draw_mask", "hide", "in_batch", "kept_number", "kept_places", "take"]


def kept_number(units: int, ratio: float) -> int:
    """How many mask units are kept, rounded down as in the original.

    Args:
        units: mask units of an image or clip.
        ratio: the share that is dropped.

    Raises:
        ValueError: the ratio is not between 0 and 1, or leaves nothing to keep or to drop.
    """
    number = int(units * (1 - ratio)) if 0 < ratio < 1 else 0
    if not 0 < number < units:
        raise ValueError(
            f"a mask ratio of {ratio} keeps {number} of {units} mask units; expected a ratio between 0 and 1 that keeps"
            " one at least and drops one at least: for few units give larger images"
        )
    return number


def draw_mask(
    batch: int,
    units: int,
    ratio: float,
    *,
    device: torch.device | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw masks at random, each with the same number of kept units.

    Args:
        batch: masks.
        units: mask units of each.
        ratio: the share that is dropped.
        device: of the masks.
        generator: of the random numbers; None: torch's own of that device.

    Returns:
        (batch, units) bool, True = keep.

    Raises:
        ValueError: as of :func:`kept_number`.
    """
    noise = torch.rand(batch, units, device=device, generator=generator)
    return noise.argsort(dim=1).argsort(dim=1) < kept_number(units, ratio)


def count_kept(mask: Tensor) -> int:
    """How many units each row of a mask (B, #mask units) keeps.

    Raises:
        ValueError: rows keep different numbers, or none.
    """
    counts = mask.sum(dim=1).tolist()
    if min(counts) != max(counts) or not counts[0]:
        raise ValueError(f"each row of the mask must keep as many mask units, one at least; these keep {counts}")
    return counts[0]


def kept_places(mask: Tensor, number: int) -> Tensor:
    """Where a mask (B, N) is True, `number` places in each row: (B, number) int64, ascending."""
    return mask.byte().argsort(dim=1, descending=True, stable=True)[:, :number]


def take(x: Tensor, places: Tensor) -> Tensor:
    """Take some places of each row: (B, N, ...) and (B, M) to (B, M, ...)."""
    return x.flatten(0, 1).index_select(0, in_batch(places, x.shape[1])).unflatten(0, places.shape)


def in_batch(places: Tensor, length: int) -> Tensor:
    """Count places through the batch: (B, M) of rows that have `length` places to (B * M,)."""
    first = torch.arange(len(places), device=places.device)[:, None] * length
    return (places + first).flatten()


def hide(x: Tensor, mask: Tensor, units: Size) -> Tensor:
    """Make the pixels of dropped mask units zero.

    Args:
        x: (B, C, *size).
        mask: (B, #mask units) bool, True = keep.
        units: mask units along each side; they divide the size.
    """
    seen = mask.view(len(mask), 1, *units)
    for axis in reversed(range(2, x.ndim)):
        x = x.unflatten(axis, (units[axis - 2], -1))
        seen = seen.unsqueeze(axis + 1)
    x = torch.where(seen, x, x.new_zeros(()))  # (B, C, units, pixels of a unit, units, ...)
    for axis in range(2, 2 + len(units)):
        x = x.flatten(axis, axis + 1)
    return x
