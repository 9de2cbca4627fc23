"""The encoder that the classifier and the detection backbone share: patches, position embedding, blocks, stage maps."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from hiera_det.hiera import pos_embed as pe
from hiera_det.hiera.attention import Block
from hiera_det.hiera.layouts import largest_window_in_units, released_windows, windowed_windows
from hiera_det.hiera.masking import count_kept, hide, kept_places, take
from hiera_det.hiera.patch_embed import PatchEmbed
from hiera_det.hiera.tokens import Size, TokenOrder, Windows, multiple_of

__all__ = ["HieraEncoder", "init_weights", "resolve_norm"]


class HieraEncoder(nn.Module):
    """Hiera up to the end of its last block, for images or video of any size.

    Arguments up to `sep_pos_embed` are those of the original (facebookresearch/hiera, `Hiera`), and so are the names of
    the parameters.

    Height and width that are not multiples of 32 are padded with zeros at the bottom and right; the tokens of the
    padding take part like any others, and stage maps are cut back to ceil(size / stride).

    Args:
        layout: "released": mask units in the stages of `mask_unit_attn`, global attention in the others. "windowed":
            windows of `window_sizes` in every stage, global attention in `global_blocks` alone (as SAM 2's trunk).
        window_sizes: tokens along each side of a window, by stage (layout "windowed").
        global_blocks: indices of the blocks with global attention (layout "windowed").
        pos_embed: "resize": all of the embedding is resized. "absolute_win": see `hiera_det.hiera.pos_embed`; a plain
            embedding in a state dict is split as it is loaded, exactly at its own size.
        pos_embed_size: tokens along H, W of the stored global part ("absolute_win"); None: those of `input_size`.
        activation_checkpointing: recompute each block's activations in the backward pass instead of keeping them.

    Raises:
        ValueError: arguments that do not fit one another.
    """

    def __init__(
        self,
        input_size: Size = (224, 224),
        in_chans: int = 3,
        embed_dim: int = 96,
        num_heads: int = 1,
        stages: Sequence[int] = (2, 3, 16, 3),
        q_pool: int = 3,
        q_stride: Size = (2, 2),
        mask_unit_size: Size = (8, 8),
        mask_unit_attn: Sequence[bool] = (True, True, False, False),
        dim_mul: float = 2.0,
        head_mul: float = 2.0,
        patch_kernel: Size = (7, 7),
        patch_stride: Size = (4, 4),
        patch_padding: Size = (3, 3),
        mlp_ratio: float = 4.0,
        drop_path_rate: float = 0.0,
        norm_layer: str | Callable[[int], nn.Module] = "LayerNorm",
        sep_pos_embed: bool = False,
        *,
        layout: str = "released",
        window_sizes: Sequence[int] = (8, 4, 16, 8),
        global_blocks: Sequence[int] = (12, 16, 20),
        pos_embed: str = "resize",
        pos_embed_size: tuple[int, int] | None = None,
        activation_checkpointing: bool = False,
    ):
        super().__init__()
        _check_choice("layout", layout, ("released", "windowed"))
        _check_choice("pos_embed", pos_embed, ("resize", "absolute_win"))
        if q_pool >= len(stages):
            raise ValueError(f"q_pool={q_pool} pools need more than the {len(stages)} stages {tuple(stages)}")
        if not stages or min(stages) < 1:
            raise ValueError(f"stages={tuple(stages)}: expected a block at least in each")
        if tuple(mask_unit_size) != tuple(s ** (len(stages) - 1) for s in q_stride):
            raise ValueError(
                f"mask_unit_size={tuple(mask_unit_size)} must be q_stride={tuple(q_stride)} to the power of stages - 1"
            )
        norm_layer = resolve_norm(norm_layer)

        self.layout = layout
        self.window_sizes, self.global_blocks = tuple(window_sizes), tuple(global_blocks)
        self.patch_stride = tuple(patch_stride)
        self.q_stride = tuple(q_stride)
        self.mask_unit_size = tuple(mask_unit_size)
        self.stages = tuple(stages)
        self.stage_ends = [sum(stages[: i + 1]) - 1 for i in range(len(stages))]
        self.stage_dims = [int(embed_dim * dim_mul**i) for i in range(len(stages))]
        pools = [min(i, q_pool) for i in range(len(stages))]  # pools before or in each stage
        self.stage_strides = [tuple(p * q**n for p, q in zip(patch_stride, q_stride, strict=True)) for n in pools]
        self.activation_checkpointing = activation_checkpointing

        self.patch_embed = PatchEmbed(in_chans, embed_dim, patch_kernel, patch_stride, patch_padding)
        grid = tuple(n // s for n, s in zip(input_size, patch_stride, strict=True))
        self._add_pos_embed(grid, embed_dim, sep_pos_embed, pos_embed, pos_embed_size)
        units = [tuple(m // q**n for m, q in zip(mask_unit_size, q_stride, strict=True)) for n in pools]
        if layout == "released":
            self.block_windows = released_windows(stages, units, mask_unit_attn)
            self.group = 1
        else:
            self.block_windows = windowed_windows(stages, units, window_sizes, global_blocks)
            self.group = largest_window_in_units(units, window_sizes)

        drop_path = torch.linspace(0, drop_path_rate, sum(stages), device="cpu").tolist()
        self.blocks = nn.ModuleList()
        self.block_pools: list[bool] = []
        for stage, depth in enumerate(stages):
            for i in range(depth):
                first = i == 0 and stage > 0
                self.block_pools.append(first and stage <= q_pool)
                self.blocks.append(
                    Block(
                        self.stage_dims[stage - 1] if first else self.stage_dims[stage],
                        self.stage_dims[stage],
                        int(num_heads * head_mul**stage),
                        pool=self.block_pools[-1],
                        mlp_ratio=mlp_ratio,
                        drop_path=drop_path[len(self.blocks)],
                        norm_layer=norm_layer,
                    )
                )
        self.apply(init_weights)

    def _add_pos_embed(
        self, grid: Size, dim: int, separate: bool, kind: str, stored_size: tuple[int, int] | None
    ) -> None:
        """Create the parameters, named as the original's and, for "absolute_win", as SAM 2's."""
        self.pos_embed_kind, self.pos_embed_grid = kind, grid
        height, width = grid[-2:]
        if len(grid) == 3 and not separate:
            raise ValueError("video needs sep_pos_embed=True: one spatial and one temporal position embedding")
        if stored_size and kind != "absolute_win":
            raise ValueError(f"pos_embed_size={tuple(stored_size)} is of pos_embed='absolute_win', not of {kind!r}")
        if kind == "absolute_win":
            spatial = torch.zeros(1, dim, *(stored_size or (height, width)))
            self.pos_embed_window = nn.Parameter(torch.zeros(1, dim, *self.mask_unit_size[-2:]))
            nn.init.trunc_normal_(self.pos_embed_window, std=0.02)
        else:
            spatial = torch.zeros(1, height * width, dim)
        nn.init.trunc_normal_(spatial, std=0.02)
        self.spatial_name = "pos_embed_spatial" if separate else "pos_embed"
        self.register_parameter(self.spatial_name, nn.Parameter(spatial))
        if separate:
            self.pos_embed_temporal = nn.Parameter(torch.zeros(1, grid[0], dim))
            nn.init.trunc_normal_(self.pos_embed_temporal, std=0.02)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Split a plain position embedding that arrives at an "absolute_win" model."""
        if self.pos_embed_kind == "absolute_win":
            pe.split_plain(state_dict, self.mask_unit_size[-2:], self.pos_embed_grid[-2:], prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def position_embedding(self, grid: Size) -> Tensor:
        """The position embedding for a grid of tokens: (1, C, *grid)."""
        spatial = self.get_parameter(self.spatial_name)
        size = grid[-2:]
        if self.pos_embed_kind == "absolute_win":
            embed = pe.absolute_win(spatial, self.pos_embed_window, size)
        else:
            embed = pe.resize(spatial.transpose(1, 2).unflatten(2, self.pos_embed_grid[-2:]), size)  # (1, C, H, W)
        if len(grid) == 2:
            return embed
        temporal = pe.resize_temporal(self.pos_embed_temporal, grid[0]).transpose(1, 2)  # (1, C, T)
        return embed[:, :, None] + temporal[..., None, None]  # (1, C, T, H, W)

    def encode(
        self, x: Tensor, mask: Tensor | None = None, out_stages: Collection[int] = (), *, num_kept: int | None = None
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """Run the blocks.

        Args:
            x: images (B, 3, H, W) or clips (B, 3, T, H, W), normalised.
            mask: (B, #mask units) bool, True = keep, as many in each row; layout "released" only.
            out_stages: the stages, from 0, whose maps are wanted.
            num_kept: mask units that each row of the mask keeps; None: they are counted, which waits for the device.

        Returns:
            The tokens after the last block (B, N, C), and by stage its map, channels last: (B, (T,) H, W, C) cut to
            ceil(size / stride), or with a mask (B, #kept units, *unit, C).

        Raises:
            ValueError: the input's shape or the mask does not fit the model.
        """
        self._check_input(x)
        order, tokens = self._embed(x, mask, num_kept)
        maps: dict[int, Tensor] = {}
        for i, (block, windows) in enumerate(zip(self.blocks, self._plan(order, x.device), strict=True)):
            if self.activation_checkpointing and self.training:
                tokens = checkpoint(block, tokens, order, *windows, use_reentrant=False)
            else:
                tokens = block(tokens, order, *windows)
            if self.block_pools[i]:
                order = order.pooled()
            if i in self.stage_ends and (stage := self.stage_ends.index(i)) in out_stages:
                strides = self.stage_strides[stage]
                size = tuple(-(-n // s) for n, s in zip(x.shape[2:], strides, strict=True))
                maps[stage] = order.reroll(tokens, size) if mask is None else order.reroll_units(tokens)
        return tokens, maps

    def _check_input(self, x: Tensor) -> None:
        dims = len(self.patch_stride)
        if x.ndim != dims + 2:
            raise ValueError(f"expected {'(B, C, H, W)' if dims == 2 else '(B, C, T, H, W)'}, got {tuple(x.shape)}")
        if dims == 3 and x.shape[2] % self.patch_stride[0]:
            raise ValueError(f"{x.shape[2]} frames: their number must be a multiple of {self.patch_stride[0]}")

    def _embed(self, x: Tensor, mask: Tensor | None, num_kept: int | None) -> tuple[TokenOrder, Tensor]:
        """Pad, embed patches and positions, unroll, and drop the mask units that are not kept."""
        padded = multiple_of(x.shape[2:], [p * m for p, m in zip(self.patch_stride, self.mask_unit_size, strict=True)])
        padding = [p for n, w in zip(reversed(x.shape[2:]), reversed(padded), strict=True) for p in (0, w - n)]
        if any(padding):
            x = F.pad(x, padding)
        grid = tuple(n // s for n, s in zip(padded, self.patch_stride, strict=True))
        order = TokenOrder(grid, (self.q_stride,) * (len(self.stages) - 1), self._group(grid))
        if mask is not None:
            units = tuple(g // m for g, m in zip(grid, self.mask_unit_size, strict=True))
            self._check_mask(mask, x.shape[0], units)
            x = hide(x, mask, units)  # nothing that is dropped leaks through the overlapping patches
        x = order.unroll(self.patch_embed(x) + self.position_embedding(grid))  # (B, N, C)
        if mask is not None:
            kept = kept_places(mask, count_kept(mask) if num_kept is None else num_kept)
            x = take(x.unflatten(1, (mask.shape[1], -1)), kept).flatten(1, 2)  # (B, #kept * tokens in a unit, C)
        return order, x

    def _group(self, grid: Size) -> Size:
        """Mask units along each side of a group: one window of the later stages, where these tile the grid."""
        units = [g // m for g, m in zip(grid, self.mask_unit_size, strict=True)]
        side = self.group if all(n % self.group == 0 for n in units[-2:]) else 1
        return (*(1 for _ in units[:-2]), side, side)

    def _check_mask(self, mask: Tensor, batch: int, units: Size) -> None:
        if self.layout != "released":
            raise ValueError(f"a mask needs layout 'released', this model has {self.layout!r}")
        if mask.dtype != torch.bool or tuple(mask.shape) != (batch, math.prod(units)):
            raise ValueError(
                f"mask must be bool, {(batch, math.prod(units))} (B, #mask units), got {mask.dtype} {tuple(mask.shape)}"
            )

    def _plan(self, order: TokenOrder, device: torch.device) -> list[tuple[Windows, Windows]]:
        """The windows of keys and of queries for each block, from the order of the first one's tokens."""
        seen: dict[tuple[Size, Size | None], Windows] = {}

        def windows(of: TokenOrder, size: Size | None) -> Windows:
            if (of.grid, size) not in seen:
                seen[of.grid, size] = of.windows(size, device)
            return seen[of.grid, size]

        plan = []
        for pool, size in zip(self.block_pools, self.block_windows, strict=True):
            keys = windows(order, size)
            if pool:
                order = order.pooled()
                size = None if size is None else tuple(n // s for n, s in zip(size, self.q_stride, strict=True))
            plan.append((keys, windows(order, size)))
        return plan


def resolve_norm(norm_layer: str | Callable[[int], nn.Module]) -> Callable[[int], nn.Module]:
    """A norm by its name in torch.nn, with the original's epsilon of 1e-6; a callable stays what it is."""
    return partial(getattr(nn, norm_layer), eps=1e-6) if isinstance(norm_layer, str) else norm_layer


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"{name}={value!r}: expected one of {', '.join(map(repr, choices))}")


def init_weights(module: nn.Module) -> None:
    """As the original: truncated normal of 0.02, biases 0.02."""
    if isinstance(module, nn.Linear | nn.Conv2d | nn.Conv3d):
        nn.init.trunc_normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear | nn.LayerNorm):
        nn.init.constant_(module.bias, 0.02)
