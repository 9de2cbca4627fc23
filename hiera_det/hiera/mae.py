"""Masked autoencoding (Hiera paper, section 3; He et al., arXiv 2111.06377): the encoder sees a part of the mask units,
a decoder predicts the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from huggingface_hub import ModelCard
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from hiera_det.hiera import pos_embed as pe
from hiera_det.hiera.attention import Block
from hiera_det.hiera.encoder import HieraEncoder, resolve_norm
from hiera_det.hiera.masking import count_kept, draw_mask, in_batch, kept_number, kept_places, take
from hiera_det.hiera.publishing import Publishable
from hiera_det.hiera.targets import labels_of, pixels_of, restored, standardized, values_per_token
from hiera_det.hiera.tokens import Size, TokenOrder, Windows

__all__ = ["MaskedAutoencoderHiera"]


class MaskedAutoencoderHiera(HieraEncoder, Publishable):
    """Hiera as a masked autoencoder, for images or video; arguments and state-dict keys are the original's.

    Published models have ``q_pool=2``: ``build_hiera("mae_hiera_base_224")`` gives such a one. The stages behind the
    second pool then end at a stride of 16, and each of their tokens stands for 16 x 16 pixels that are to be predicted.

    Args:
        in_chans: channels of the input.
        patch_stride: pixels per token, along (T,) H, W.
        mlp_ratio: width of an MLP over that of its block, of the decoder too.
        decoder_embed_dim: channels of the decoder.
        decoder_depth: blocks of the decoder.
        decoder_num_heads: attention heads of the decoder.
        norm_layer: of encoder and decoder.
        multi_scale: the decoder sees the maps of all stages, added up; False: the last stage's alone.
        target: what is predicted of each token: "pixel", its pixels, or "hog", histograms of their gradients
            (:func:`~hiera_det.hiera.hog.hog`).
        normalize_target: the pixels of each token less their mean, over their standard deviation; of "hog" no matter.
        num_classes: with `head_dropout` and `head_init_scale` admitted because the original has them; no effect.
        head_dropout: no effect.
        head_init_scale: no effect.
        encoder_arguments: those of `HieraEncoder`.

    Raises:
        ValueError: arguments that do not fit one another.
    """

    def __init__(
        self,
        in_chans: int = 3,
        patch_stride: Size = (4, 4),
        mlp_ratio: float = 4.0,
        decoder_embed_dim: int = 512,
        decoder_depth: int = 8,
        decoder_num_heads: int = 16,
        norm_layer: str | Callable[[int], nn.Module] = "LayerNorm",
        *,
        multi_scale: bool = True,
        target: str = "pixel",
        normalize_target: bool = True,
        num_classes: int = 1000,
        head_dropout: float = 0.0,
        head_init_scale: float = 0.001,
        **encoder_arguments: Any,
    ):
        super().__init__(
            in_chans=in_chans,
            patch_stride=patch_stride,
            mlp_ratio=mlp_ratio,
            norm_layer=norm_layer,
            **encoder_arguments,
        )
        if self.layout != "released":
            raise ValueError(f"layout={self.layout!r}: masked autoencoding needs 'released', as masks do")
        if min(decoder_depth, decoder_embed_dim, decoder_num_heads) < 1:
            raise ValueError(
                f"decoder_depth={decoder_depth}, decoder_embed_dim={decoder_embed_dim}, decoder_num_heads="
                f"{decoder_num_heads}: expected one at least of each"
            )
        self.target, self.normalize_target = target, normalize_target
        self.pred_stride = self.stage_strides[-1][-1]
        values = values_per_token(target, self.pred_stride, in_chans)
        self.pools = sum(self.block_pools)
        self.unit_final = self._unit_after(self.pools)
        norm, dim = resolve_norm(norm_layer), self.stage_dims[-1]

        self.multi_scale_fusion_heads = nn.ModuleList()
        if multi_scale:
            conv = {2: nn.Conv2d, 3: nn.Conv3d}[len(self.q_stride)]
            for stage in range(self.pools):  # behind them, stages have the last one's resolution
                cells = [u // f for u, f in zip(self._unit_after(stage), self.unit_final, strict=True)]
                kernel: Any = tuple(cells)
                self.multi_scale_fusion_heads.append(conv(self.stage_dims[stage], dim, kernel, kernel))
            self.multi_scale_fusion_heads.append(nn.Identity())
        self.encoder_norm = norm(dim)

        grid = self._final_grid(self.pos_embed_grid)
        self.decoder_embed = nn.Linear(dim, decoder_embed_dim)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder_embed_dim))
        self.decoder_grid = grid
        self.decoder_pos_embed = nn.Parameter(torch.zeros(1, math.prod(grid), decoder_embed_dim))
        self.decoder_blocks = nn.ModuleList(
            Block(
                decoder_embed_dim,
                decoder_embed_dim,
                decoder_num_heads,
                pool=False,
                mlp_ratio=mlp_ratio,
                drop_path=0.0,
                norm_layer=norm,
            )
            for _ in range(decoder_depth)
        )
        self.decoder_norm = norm(decoder_embed_dim)
        self.decoder_pred = nn.Linear(decoder_embed_dim, values)
        self._initialize()
        config: Any = self._hub_mixin_config  # the original would stumble over arguments that it does not have
        for name, default in ("multi_scale", True), ("target", "pixel"), ("normalize_target", True):
            if config.get(name) == default:
                del config[name]

    def _initialize(self) -> None:
        """As the original: Xavier-uniform linear layers and patch embedding, zero biases, norms 1 and 0."""
        nn.init.trunc_normal_(self.mask_token, std=0.02)
        nn.init.trunc_normal_(self.decoder_pos_embed, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.LayerNorm):
                nn.init.ones_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.xavier_uniform_(self.patch_embed.proj.weight.data.flatten(1))

    def _unit_after(self, pools: int) -> Size:
        """Tokens along each side of a mask unit after some pools."""
        return tuple(m // q**pools for m, q in zip(self.mask_unit_size, self.q_stride, strict=True))

    def _final_grid(self, grid: Size) -> Size:
        """Tokens along each side after all pools, from those of the patch embedding."""
        return tuple(g // q**self.pools for g, q in zip(grid, self.q_stride, strict=True))

    def mask_units(self, size: Sequence[int]) -> Size:
        """Mask units along each side of an input.

        Args:
            size: (T,) H, W of the input.

        Raises:
            ValueError: mask units do not tile it.
        """
        sides = [p * m for p, m in zip(self.patch_stride, self.mask_unit_size, strict=True)]
        if len(size) != len(sides) or any(n < 1 or n % side for n, side in zip(size, sides, strict=True)):
            raise ValueError(
                f"an input of {' x '.join(map(str, size))} for masked autoencoding; expected"
                f" {'(T, H, W)' if len(sides) == 3 else '(H, W)'} in multiples of {' x '.join(map(str, sides))}, a mask"
                " unit"
            )
        return tuple(n // side for n, side in zip(size, sides, strict=True))

    def forward(
        self, x: Tensor, mask_ratio: float = 0.6, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Predict what the encoder does not see, as the original's `forward`.

        Args:
            x: images (B, C, H, W) or clips (B, C, T, H, W), normalised; of any size in mask units.
            mask_ratio: the share of mask units that is dropped, where no mask is given.
            mask: (B, #mask units) bool, True = keep, as many in each row; None: drawn at random. Under torch.compile it
                must keep as many as `mask_ratio` says.

        Returns:
            The loss, the mean squared error; predictions and labels of the dropped tokens, (B * #dropped, values) each,
            by image in spatial order; and the mask. Values of a label, slowest first: of an image's pixels channel,
            row, column; of a clip's row, column, channel, of the first frame that a token stands for; of "hog" channel,
            bin, row, column of the cell.

        Raises:
            ValueError: the input's size, ratio or mask does not fit.
        """
        self._check_input(x)
        units = self.mask_units(x.shape[2:])
        total = math.prod(units)
        if mask is None:
            kept = kept_number(total, mask_ratio)
            mask = draw_mask(x.shape[0], total, mask_ratio, device=x.device)
        else:
            self._check_mask(mask, x.shape[0], units)
            kept = _kept_by(mask, mask_ratio)
        dropped = self._dropped_tokens(mask, units, total - kept)
        pred = self._decode(self._encode(x, mask, kept), mask, units, dropped).float()  # (B, #dropped, values)
        label = take(self.labels(x), dropped)
        if self.target == "pixel" and self.normalize_target:
            label = standardized(label)
        pred, label = pred.flatten(0, 1), label.flatten(0, 1)
        return (pred - label).square().mean(), pred, label, mask

    def labels(self, x: Tensor) -> Tensor:
        """The true values of all tokens, not normalised: (B, #tokens, values), tokens in spatial order."""
        return labels_of(x, self.target, self.pred_stride, self.patch_stride[0])

    def reconstruct(self, x: Tensor, pred: Tensor, mask: Tensor) -> Tensor:
        """Put predicted pixels in the place of what the encoder did not see.

        Where targets are normalised, each token gets the mean and standard deviation of its true pixels: it is not a
        reconstruction of these.

        Args:
            x: the input of `forward`.
            pred: its predictions.
            mask: its mask.

        Returns:
            Images (B, C, H, W), or of clips their predicted frames (B, C, T / stride in time, H, W).

        Raises:
            ValueError: the target is not pixels.
        """
        if self.target != "pixel":
            raise ValueError(f"target={self.target!r}: there are no pixels to put back")
        units = self.mask_units(x.shape[2:])
        self._check_mask(mask, x.shape[0], units)
        labels = self.labels(x)
        dropped = self._dropped_tokens(mask, units, math.prod(units) - count_kept(mask))
        values = pred.unflatten(0, dropped.shape)
        if self.normalize_target:
            values = restored(values, take(labels, dropped))
        places = in_batch(dropped, labels.shape[1])
        labels = labels.flatten(0, 1).index_copy(0, places, values.flatten(0, 1)).view_as(labels)
        return pixels_of(labels, x.shape[-2:], self.pred_stride, clip=x.ndim == 5)

    # --- encoder

    def _encode(self, x: Tensor, mask: Tensor, kept: int) -> Tensor:
        """The kept mask units after all stages: (B, #kept, *unit, C)."""
        last = len(self.stages) - 1
        if not self.multi_scale_fusion_heads:
            return self.encoder_norm(self.encode(x, mask, [last], num_kept=kept)[1][last])
        stages = [*range(self.pools), last]
        _, maps = self.encode(x, mask, stages, num_kept=kept)
        heads = zip(self.multi_scale_fusion_heads, stages, strict=True)
        first, *others = (_fused(head, maps[stage]) for head, stage in heads)
        return self.encoder_norm(sum(others, first))

    # --- decoder

    def _decode(self, x: Tensor, mask: Tensor, units: Size, dropped: Tensor) -> Tensor:
        """Predictions of the dropped tokens (B, #dropped, values), from the kept mask units (B, #kept, *unit, C)."""
        x = self.decoder_embed(x.flatten(2, -2))  # (B, #kept, tokens in a unit, D)
        kept = in_batch(kept_places(mask, x.shape[1]), mask.shape[1])
        tokens = self.mask_token.to(x.dtype).expand(mask.numel(), *x.shape[2:])
        tokens = tokens.index_copy(0, kept, x.flatten(0, 1))  # (B * #units, tokens in a unit, D)
        # In the order of mask units: attention over everything knows of no order.
        order = TokenOrder(
            tuple(u * f for u, f in zip(units, self.unit_final, strict=True)), (self.unit_final,), (1,) * len(units)
        )
        x = tokens.view(len(mask), -1, x.shape[-1]) + self._decoder_positions(order)  # (B, N, D)
        places = order.reroll(torch.arange(order.num_tokens, device=x.device).view(1, -1, 1)).flatten()[dropped]
        last = len(self.decoder_blocks) - 1
        for i, block in enumerate(self.decoder_blocks):
            arguments = (x, order, Windows(None), Windows(None), places if i == last else None)
            if self.activation_checkpointing and self.training:
                x = checkpoint(block, *arguments, use_reentrant=False)
            else:
                x = block(*arguments)
        return self.decoder_pred(self.decoder_norm(x))  # (B, #dropped, values)

    def _decoder_positions(self, order: TokenOrder) -> Tensor:
        """The decoder's position embedding in the order of mask units, (1, N, D), resized where the input's size is."""
        embed = self.decoder_pos_embed.transpose(1, 2).unflatten(2, self.decoder_grid)  # (1, D, *grid)
        if self.decoder_grid != order.grid:
            embed = pe.resize_grid(embed, order.grid)
        return order.unroll(embed)

    def _dropped_tokens(self, mask: Tensor, units: Size, number: int) -> Tensor:
        """Where dropped tokens are among all, in spatial order: (B, #dropped)."""
        dropped = ~mask.view(-1, *units)
        for axis, side in enumerate(self.unit_final, 1):
            dropped = dropped.repeat_interleave(side, dim=axis)
        return kept_places(dropped.flatten(1), number * math.prod(self.unit_final))

    def generate_model_card(self, **arguments: Any) -> ModelCard:
        """The card of :class:`~hiera_det.hiera.publishing.Publishable`, with the task."""
        card = super().generate_model_card(**arguments)
        card.data["pipeline_tag"] = "feature-extraction" if len(self.patch_stride) == 3 else "image-feature-extraction"
        return card


def _kept_by(mask: Tensor, ratio: float) -> int:
    """How many units each row keeps; counting would break a graph that is compiled."""
    if torch.compiler.is_compiling():
        number = kept_number(mask.shape[1], ratio)
        torch._assert_async((mask.sum(dim=1) == number).all(), "the mask must keep as many units as mask_ratio says")
        return number
    number = count_kept(mask)
    if number == mask.shape[1]:
        raise ValueError(f"the mask keeps all {number} mask units: there is nothing to predict")
    return number


def _fused(head: nn.Module, x: Tensor) -> Tensor:
    """A map's mask units (B, #kept, *unit, C) at the last stage's resolution and width."""
    if isinstance(head, nn.Identity):
        return x
    fused = head(x.flatten(0, 1).movedim(-1, 1))  # (B * #kept, C', *unit of the last stage)
    return fused.movedim(1, -1).unflatten(0, x.shape[:2])
