"""Histograms of oriented gradients, MaskFeat's target (arXiv 2112.09133, section 3.1)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["BINS", "CELL", "hog"]

BINS = 9  # of the 180 degrees that gradients have without their sign
CELL = 8  # pixels along each side of a cell


def hog(images: Tensor) -> Tensor:
    """Compute each cell's histogram of gradient directions, for each channel by itself, in float32.

    Gradients are Sobel's, the border reflected. The direction of a pixel is that of ``atan2(gx, gy)`` modulo 180
    degrees; its bin gets the gradient's magnitude, all of it. A cell's histogram has the L2 norm 1; one without
    gradients is zero. So are the histograms of SlowFast (``slowfast/models/operators.py``), without their optional
    Gaussian window.

    Args:
        images: (N, C, H, W); H and W are multiples of 8.

    Returns:
        (N, C, 9, H / 8, W / 8).
    """
    padded = F.pad(images.float().flatten(0, 1)[:, None], (1, 1, 1, 1), mode="reflect")  # (N * C, 1, H + 2, W + 2)
    # Not by a convolution, which autocast would make one of 16 bits.
    across, down = padded[..., :-2] - padded[..., 2:], padded[..., :-2, :] - padded[..., 2:, :]
    gx = across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]  # (N * C, 1, H, W)
    gy = down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:]
    bins = (torch.atan2(gx, gy) / math.pi * BINS).floor().remainder(BINS)
    magnitude = torch.hypot(gx, gy)
    # One bin after the other: sums in a fixed order, on a GPU too, and no tensor of nine times the size.
    votes = [torch.where(bins == number, magnitude, 0.0) for number in range(BINS)]
    cells = torch.cat([F.avg_pool2d(it, CELL, divisor_override=1) for it in votes], dim=1)  # (N * C, 9, H / 8, W / 8)
    return F.normalize(cells, dim=1).unflatten(0, images.shape[:2])
