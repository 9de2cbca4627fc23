"""What a masked autoencoder is to predict of each token, and pixels from such values again."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hiera_det.hiera.hog import BINS, CELL, hog

__all__ = ["TARGETS", "labels_of", "pixels_of", "restored", "standardized", "values_per_token"]

TARGETS = ("pixel", "hog")


def values_per_token(target: str, side: int, channels: int) -> int:
    """How many values are predicted of a token.

    Args:
        target: one of :data:`TARGETS`.
        side: pixels along each side of a token.
        channels: of the input.

    Raises:
        ValueError: there is no such target, or HOG's cells of 8 pixels do not tile a token.
    """
    if target not in TARGETS:
        raise ValueError(f"target={target!r}: expected one of {', '.join(map(repr, TARGETS))}")
    if target == "pixel":
        return channels * side**2
    if side % CELL:
        raise ValueError(f"target='hog' has cells of {CELL} pixels, which do not tile tokens of {side} x {side}")
    return channels * BINS * (side // CELL) ** 2


def labels_of(x: Tensor, target: str, side: int, frames: int = 1) -> Tensor:
    """The values of each token: (B, #tokens, values), tokens in spatial order, in float32.

    Args:
        x: images (B, C, H, W) or clips (B, C, T, H, W).
        target: one of :data:`TARGETS`. Values of "pixel" are, slowest first, channel, row, column; of a clip row,
            column, channel, as the original has it. Of "hog": channel, bin, row and column of the cell.
        side: pixels along each side of a token; tiles H and W.
        frames: of a clip that a token stands for; its first one is to be predicted.
    """
    x = x.float()
    clip = x.ndim == 5
    if clip:
        x = x[:, :, ::frames].transpose(1, 2)  # (B, T / frames, C, H, W)
    images = x.flatten(0, 1) if clip else x
    if target == "hog":
        images, side = hog(images).flatten(1, 2), side // CELL  # (N, C * 9, H / 8, W / 8)
    cells = images.unflatten(3, (-1, side)).unflatten(2, (-1, side))  # (N, C, h, side, w, side)
    row_first = clip and target == "pixel"
    tokens = cells.permute(0, 2, 4, 3, 5, 1) if row_first else cells.permute(0, 2, 4, 1, 3, 5)
    return tokens.reshape(len(x), -1, images.shape[1] * side**2)


def pixels_of(labels: Tensor, size: Sequence[int], side: int, *, clip: bool) -> Tensor:
    """Put the values of "pixel" in space again.

    Args:
        labels: (B, #tokens, values), in the order of :func:`labels_of`.
        size: H, W in pixels.
        side: pixels along each side of a token.
        clip: of clips.

    Returns:
        (B, C, H, W), or of clips (B, C, #tokens in time, H, W).
    """
    height, width = (n // side for n in size)
    tokens = labels.unflatten(1, (-1, height, width))  # (B, t, h, w, values)
    if clip:
        cells = tokens.unflatten(4, (side, side, -1)).permute(0, 6, 1, 2, 4, 3, 5)  # (B, C, t, h, side, w, side)
    else:
        cells = tokens.unflatten(4, (-1, side, side)).permute(0, 4, 1, 2, 5, 3, 6)
    images = cells.flatten(5, 6).flatten(3, 4)
    return images if clip else images[:, :, 0]


def standardized(labels: Tensor) -> Tensor:
    """Each token's values less their mean, over their standard deviation (of n - 1)."""
    mean, deviation = _moments(labels)
    return (labels - mean) / deviation


def restored(values: Tensor, labels: Tensor) -> Tensor:
    """Undo :func:`standardized` of `values` by the moments of the true `labels`."""
    mean, deviation = _moments(labels)
    return values * deviation + mean


def _moments(labels: Tensor) -> tuple[Tensor, Tensor]:
    variance, mean = torch.var_mean(labels, dim=-1, keepdim=True)
    return mean, (variance + 1e-6).sqrt()
