"""The order of tokens: Hiera's "unroll" and "reroll", and windows as runs of tokens (Hiera paper, section 3).

Tokens are put in one order after the patch embedding and stay in it. Along the sequence come, slowest first:
groups of mask units, mask units in their group, then the offsets inside a mask unit, those of the first pool slowest:

    group (y, x) | mask unit in the group (y, x) | offset in pool 1 (y, x) | offset in pool 2 | offset in pool 3

So pooling is a maximum over one axis, a mask unit is a run of tokens, and a group (the windows of the later stages,
where they tile the image) is a run as well: attention in windows needs no copy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["TokenOrder", "Windows"]

Size = tuple[int, ...]  # one number for each of (T,) H, W


@dataclass(frozen=True)
class TokenOrder:
    """The order of the tokens of one stage.

    Args:
        grid: tokens along (T,) H, W.
        pools: strides of the pools still to come, the next one first; their product is the size of a mask unit.
        group: mask units along each side of a group; must divide the number of mask units.
    """

    grid: Size
    pools: tuple[Size, ...]
    group: Size

    @property
    def num_tokens(self) -> int:
        """Tokens in the grid."""
        return math.prod(self.grid)

    @property
    def unit(self) -> Size:
        """Tokens along each side of a mask unit."""
        return tuple(math.prod(strides) for strides in zip(*self.pools, strict=True)) or (1,) * len(self.grid)

    @property
    def _split(self) -> tuple[list[int], list[int]]:
        """The grid with each side split into its levels (slowest first), and the axes in sequence order."""
        unit, levels = self.unit, 2 + len(self.pools)
        shape: list[int] = []
        for d, size in enumerate(self.grid):
            shape += [size // (self.group[d] * unit[d]), self.group[d], *(p[d] for p in reversed(self.pools))]
        by_level = [0, 1, *range(levels - 1, 1, -1)]
        return shape, [d * levels + level for level in by_level for d in range(len(self.grid))]

    def unroll(self, x: Tensor) -> Tensor:
        """Put a channels-first map (B, C, *grid) in sequence order (B, N, C): one permutation."""
        shape, axes = self._split
        x = x.reshape(*x.shape[:2], *shape).permute(0, *(2 + a for a in axes), 1)
        return x.reshape(x.shape[0], self.num_tokens, x.shape[-1])  # (B, N, C)

    def reroll(self, x: Tensor, size: Size | None = None) -> Tensor:
        """Put tokens (B, N, C) back in space, channels last (B, *grid, C): one permutation; then cut to `size`."""
        shape, axes = self._split
        back = sorted(range(len(axes)), key=axes.__getitem__)
        x = x.reshape(x.shape[0], *(shape[a] for a in axes), x.shape[-1]).permute(0, *(1 + a for a in back), -1)
        x = x.reshape(x.shape[0], *self.grid, x.shape[-1])  # (B, *grid, C)
        cut = (slice(None), *(slice(n) for n in size or self.grid))
        return x[cut]

    def reroll_units(self, x: Tensor) -> Tensor:
        """Put the tokens of each mask unit in space: (B, N, C) to (B, #units, *unit, C), for some or all units."""
        order = TokenOrder(self.unit, self.pools, (1,) * len(self.unit))
        units = x.reshape(-1, order.num_tokens, x.shape[-1])  # (B * #units, tokens in a unit, C)
        return order.reroll(units).unflatten(0, (x.shape[0], -1))

    def pool(self, x: Tensor) -> Tensor:
        """Maximum over the next pool's stride: (B, N, ...) to (B, N / stride, ...)."""
        stride = math.prod(self.pools[0])
        return x.unflatten(1, (-1, stride, math.prod(self.unit) // stride)).amax(2).flatten(1, 2)

    def pooled(self) -> TokenOrder:
        """The order after `pool`."""
        grid = tuple(n // s for n, s in zip(self.grid, self.pools[0], strict=True))
        return replace(self, grid=grid, pools=self.pools[1:])

    def windows(self, size: Size | None, device: torch.device) -> Windows:
        """Windows of `size` tokens along each side, from the top left corner; None: all of the grid."""
        if size is None:
            return Windows(None)
        if size in (self.unit, tuple(u * g for u, g in zip(self.unit, self.group, strict=True))):
            return Windows(math.prod(size))
        return Windows.gathered(self, size, device)


@dataclass(frozen=True)
class Windows:
    """How a sequence falls into windows of `tokens` tokens; None: one window.

    Without `gather` each window is a run of the sequence. With it, `gather` (windows * tokens,) has each place's token,
    with N, one past the last, for padding; `scatter` (N,) gives each token's place.
    """

    tokens: int | None
    gather: Tensor | None = None
    scatter: Tensor | None = None
    padded: bool = False

    @property
    def run(self) -> int | None:
        """Tokens of each window, where a window is a run of the sequence and not all of it; otherwise None."""
        return self.tokens if self.gather is None else None

    @classmethod
    def gathered(cls, order: TokenOrder, size: Size, device: torch.device) -> Windows:
        """Windows that are not runs; the grid is padded at its end to whole windows."""
        padding = [-n % w for n, w in zip(order.grid, size, strict=True)]
        counts = [-(-n // w) for n, w in zip(order.grid, size, strict=True)]
        padded_order = TokenOrder(tuple(c * w for c, w in zip(counts, size, strict=True)), (size,), (1,) * len(size))
        tokens = order.reroll(torch.arange(order.num_tokens, device=device).view(1, -1, 1))[..., 0]  # (1, *grid)
        fpad = [p for pad in reversed(padding) for p in (0, pad)]
        tokens = F.pad(tokens, fpad, value=order.num_tokens)
        places = padded_order.reroll(torch.arange(padded_order.num_tokens, device=device).view(1, -1, 1))[..., 0]
        unpadded = (slice(None), *(slice(n) for n in order.grid))
        places = places[unpadded]  # (1, *grid)
        return cls(
            tokens=math.prod(size),
            gather=padded_order.unroll(tokens[:, None]).flatten(),
            scatter=order.unroll(places[:, None]).flatten(),
            padded=any(padding),
        )

    def split(self, x: Tensor) -> Tensor:
        """Tokens (B, N, heads, d) to windows (B * #windows, heads, tokens, d); with padding, x has N + 1 tokens."""
        if self.gather is not None:
            x = x[:, self.gather]
        if self.tokens is not None:
            x = x.unflatten(1, (-1, self.tokens)).flatten(0, 1)
        return x.transpose(1, 2)

    def merge(self, x: Tensor, num_tokens: int) -> Tensor:
        """Windows (B * #windows, heads, tokens, d) of what had `num_tokens` to tokens (B, N, heads * d), unpadded."""
        places = num_tokens if self.gather is None else len(self.gather)  # #windows * tokens
        x = x.transpose(1, 2).reshape(-1, places, x.shape[1] * x.shape[3])  # (B, #windows * tokens, heads * d)
        return x if self.scatter is None else x[:, self.scatter]


def multiple_of(size: Sequence[int], divisor: Sequence[int]) -> Size:
    """The smallest size, side by side, that is not below `size` and that `divisor` divides."""
    return tuple(-(-s // d) * d for s, d in zip(size, divisor, strict=True))
