"""Hiera's block: attention in windows or over everything, pooled queries, and an MLP (Hiera paper, section 3)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from hiera_det.hiera.linear import infers_on_cpu, is_plain, linear
from hiera_det.hiera.masking import take
from hiera_det.hiera.memory import keep_memory
from hiera_det.hiera.tokens import TokenOrder, Windows

__all__ = ["Attention", "Block", "Mlp"]

VALUES_IN_CACHE = 8192 * 96  # tokens times channels; an MLP makes four times as many


class Attention(nn.Module):
    """Multi-head attention inside each window; with `pool`, the queries are max-pooled first.

    Where windows do not tile the grid, it is padded with tokens that are zero before `qkv` and take part as keys, as in
    SAM 2's trunk.
    """

    def __init__(self, dim: int, dim_out: int, heads: int, *, pool: bool):
        super().__init__()
        if heads < 1 or dim_out % heads:
            raise ValueError(f"{dim_out} channels cannot be split into {heads} heads of attention")
        self.heads = heads
        self.pool = pool
        self.qkv = nn.Linear(dim, 3 * dim_out)
        self.proj = nn.Linear(dim_out, dim_out)

    def forward(
        self, x: Tensor, order: TokenOrder, windows: Windows, q_windows: Windows, only: Tensor | None = None
    ) -> Tensor:
        """Attend.

        Args:
            x: tokens (B, N, dim) in `order`.
            order: the order of x.
            windows: windows of keys and values, in `order`.
            q_windows: the same windows for the queries: in `order.pooled()` with `pool`, otherwise `windows`.
            only: places (B, M) of the tokens that queries are wanted of, without windows; None: all.

        Returns:
            (B, N', dim_out), in the order of the queries; with `only` N' is M.
        """
        num_tokens = x.shape[1]
        if windows.padded:
            x = F.pad(x, (0, 0, 0, 1))  # (B, N + 1, dim): the last one stands for all padding
        q, k, v = linear(self.qkv, x).unflatten(2, (3, self.heads, -1)).unbind(2)  # (B, N, heads, d) each
        if self.pool:
            pooled = order.pool(q[:, :num_tokens])  # (B, N', heads, d)
            q = torch.cat([pooled, q[:, num_tokens:]], dim=1) if windows.padded else pooled
        if only is not None:
            q = take(q, only)
        x = F.scaled_dot_product_attention(q_windows.split(q), windows.split(k), windows.split(v))
        return linear(self.proj, q_windows.merge(x, q.shape[1]))


class Mlp(nn.Module):
    """Two linear layers with GELU between."""

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(..., dim) to (..., dim)."""
        return linear(self.fc2, F.gelu(linear(self.fc1, x)))


_TOKENWISE = {nn.Linear, nn.LayerNorm, nn.Identity, StochasticDepth, Attention, Mlp}  # but for attention in windows


class Block(nn.Module):
    """Attention, then MLP, each after a norm and beside a residual; where channels change, so does the residual."""

    def __init__(
        self,
        dim: int,
        dim_out: int,
        heads: int,
        *,
        pool: bool,
        mlp_ratio: float,
        drop_path: float,
        norm_layer: Callable[[int], nn.Module],
    ):
        super().__init__()
        self.norm1 = norm_layer(dim)
        self.attn = Attention(dim, dim_out, heads, pool=pool)
        self.norm2 = norm_layer(dim_out)
        self.mlp = Mlp(dim_out, int(dim_out * mlp_ratio))
        self.drop_path = StochasticDepth(drop_path, "row") if drop_path > 0 else nn.Identity()
        self.proj = nn.Linear(dim, dim_out) if dim != dim_out else None

    def forward(
        self, x: Tensor, order: TokenOrder, windows: Windows, q_windows: Windows, only: Tensor | None = None
    ) -> Tensor:
        """(B, N, dim) to (B, N', dim_out); the arguments are those of `Attention`."""
        if only is not None or not infers_on_cpu(self, x) or not self._is_divisible():
            return self._add_mlp(self._attend(x, order, windows, q_windows, only))
        keep_memory()
        # A CPU is faster on pieces that fit its cache, and windows know nothing of one another, nor tokens in the MLP.
        alone = windows.run or x.shape[1]
        return self._in_pieces(
            lambda piece: self._in_pieces(self._add_mlp, self._attend(piece, order, windows, q_windows), 1), x, alone
        )

    def _is_divisible(self) -> bool:
        """Whether pieces give what all tokens at once give, and nobody looks at what a module is given."""
        inner = (module for child in self.children() for module in child.modules())
        return all(not module.training and is_plain(module, _TOKENWISE) for module in inner)

    def _in_pieces(self, function: Callable[[Tensor], Tensor], x: Tensor, run: int) -> Tensor:
        """Call a function of tokens (B, N, C) on some of them at a time, on one or more runs of `run` tokens."""
        runs = max(1, VALUES_IN_CACHE // (run * self.mlp.fc1.in_features))
        if x.shape[0] * x.shape[1] <= runs * run:
            return function(x)
        x_runs = x.unflatten(1, (-1, run)).flatten(0, 1)  # (B * N / run, run, C)
        first = function(x_runs[:runs])
        out = first.new_empty(len(x_runs), *first.shape[1:])  # once: results that are kept break the heap into holes
        out[:runs] = first
        for start in range(runs, len(x_runs), runs):
            out[start : start + runs] = function(x_runs[start : start + runs])
        return out.unflatten(0, (x.shape[0], -1)).flatten(1, 2)

    def _attend(
        self, x: Tensor, order: TokenOrder, windows: Windows, q_windows: Windows, only: Tensor | None = None
    ) -> Tensor:
        normed = self.norm1(x)
        if self.proj is not None:
            x = linear(self.proj, normed)  # (B, N, dim_out)
            if self.attn.pool:
                x = order.pool(x)  # (B, N', dim_out)
        if only is not None:
            x = take(x, only)  # (B, M, dim_out)
        return x + self.drop_path(self.attn(normed, order, windows, q_windows, only))

    def _add_mlp(self, x: Tensor) -> Tensor:
        return x + self.drop_path(self.mlp(self.norm2(x)))
