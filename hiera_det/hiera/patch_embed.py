"""The patch embedding (Hiera paper, section 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hiera_det.hiera.tokens import Size

__all__ = ["PatchEmbed"]


class PatchEmbed(nn.Module):
    """Overlapping patches by one convolution, over 2 or 3 dimensions."""

    def __init__(self, dim_in: int, dim_out: int, kernel: Size, stride: Size, padding: Size):
        super().__init__()
        conv = {2: nn.Conv2d, 3: nn.Conv3d}[len(kernel)]
        self.proj = conv(dim_in, dim_out, kernel_size=kernel, stride=stride, padding=padding)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, (T,) H, W) to (B, dim_out, *grid), channels last in memory, as tokens are."""
        memory_format = torch.channels_last if x.ndim == 4 else torch.channels_last_3d
        return self.proj(x.contiguous(memory_format=memory_format))
