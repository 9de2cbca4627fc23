"""Hiera as a backbone: a dict of stage maps with names, channels and strides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from hiera_det.hiera.encoder import HieraEncoder
from hiera_det.hiera.publishing import Publishable
from hiera_det.hiera.variants import variant_arguments

if TYPE_CHECKING:
    from typing import Self

__all__ = ["HieraBackbone"]

_OUT_NORMS = {"": False, "LN": True}


class HieraBackbone(HieraEncoder, Publishable):
    """Stage maps "res2" to "res5" of a Hiera variant, for a pyramid or any dense head.

    Folders and repositories: :class:`~hiera_det.hiera.publishing.Publishable`. Weights of another model, such as the
    classifier: :func:`~hiera_det.weights.load.load_weights`.

    Args:
        name: a variant, "hiera_base_224" or "hiera_base_16x224" for example.
        out_features: the maps to return, of "res2", "res3", "res4", "res5" (strides 4, 8, 16, 32).
        out_norm: a LayerNorm over channels on each returned map.
        freeze_at: as in detectron2: 0 freezes nothing, 1 the patch and position embeddings, k + 1 also stages 1 to k.
        layout: see `HieraEncoder`.
        pos_embed: see `HieraEncoder`.
        overrides: further arguments of `HieraEncoder` that take the place of the variant's.

    Attributes:
        channels: channels of each returned map, by name.
        strides: pixels per cell of each returned map, by name.

    Raises:
        ValueError: unknown variant or map, or arguments that do not fit one another.
    """

    def __init__(
        self,
        name: str,
        out_features: Sequence[str] = ("res2", "res3", "res4", "res5"),
        *,
        out_norm: bool = False,
        freeze_at: int = 0,
        layout: str = "windowed",
        pos_embed: str = "absolute_win",
        **overrides: Any,
    ):
        arguments = {**variant_arguments(name), **overrides}
        arguments.pop("num_classes", None)
        super().__init__(**arguments, layout=layout, pos_embed=pos_embed)
        names = [f"res{i + 2}" for i in range(len(self.stages))]
        unknown = [f for f in out_features if f not in names]
        if unknown or not out_features:
            raise ValueError(f"out_features={tuple(out_features)}: expected some of {', '.join(names)}")
        self.out_features = tuple(f for f in names if f in out_features)
        self.channels = {f: self.stage_dims[names.index(f)] for f in self.out_features}
        self.strides = {f: self.stage_strides[names.index(f)][-1] for f in self.out_features}
        self._stage = {f: names.index(f) for f in self.out_features}
        if out_norm:
            for feature, channels in self.channels.items():
                self.add_module(f"norm_{feature}", nn.LayerNorm(channels, eps=1e-6))
        self.out_norm = out_norm
        last = self.stage_ends[names.index(self.out_features[-1])]
        del self.blocks[last + 1 :]  # nothing reads them
        del self.block_windows[last + 1 :]
        del self.block_pools[last + 1 :]
        self._freeze(freeze_at)

    @classmethod
    def from_config(cls, cfg: Any, out_features: Sequence[str] | None = None, **arguments: Any) -> Self:
        """Build from `MODEL.HIERA` and `MODEL.BACKBONE.FREEZE_AT`, for a channel per value of `MODEL.PIXEL_MEAN`.

        Args:
            cfg: the config.
            out_features: the maps to return; None: `MODEL.HIERA.OUT_FEATURES`.
            arguments: further ones of the class.

        Raises:
            ValueError: a value makes no sense; the message names the key.
        """
        node = cfg.MODEL.HIERA
        if node.NORM not in _OUT_NORMS:
            raise ValueError(f"MODEL.HIERA.NORM={node.NORM!r}: expected '' or 'LN'")
        changes = {
            "embed_dim": node.EMBED_DIM,
            "num_heads": node.NUM_HEADS,
            "stages": node.STAGES,
            "global_blocks": node.GLOBAL_BLOCKS,
            "pos_embed_size": node.POS_EMBED_SIZE and tuple(node.POS_EMBED_SIZE),
        }
        return cls(
            node.NAME,
            tuple(node.OUT_FEATURES if out_features is None else out_features),
            out_norm=_OUT_NORMS[node.NORM],
            freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT,
            layout=node.LAYOUT,
            pos_embed=node.POS_EMBED,
            window_sizes=tuple(node.WINDOW_SIZES),
            drop_path_rate=node.DROP_PATH_RATE,
            activation_checkpointing=node.ACTIVATION_CHECKPOINTING,
            in_chans=len(cfg.MODEL.PIXEL_MEAN),
            **{key: value for key, value in changes.items() if value is not None},
            **arguments,
        )

    def _freeze(self, freeze_at: int) -> None:
        if not 0 <= freeze_at <= len(self.stages) + 1:
            raise ValueError(f"freeze_at={freeze_at}: expected 0 to {len(self.stages) + 1}")
        if freeze_at == 0:
            return
        frozen = self.blocks[: sum(self.stages[: freeze_at - 1])]
        for parameter in [*self.parameters(recurse=False), *self.patch_embed.parameters(), *frozen.parameters()]:
            parameter.requires_grad_(False)
        for block in frozen:
            block.drop_path = nn.Identity()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Compute the maps.

        Args:
            x: images (B, 3, H, W) or clips (B, 3, T, H, W), normalised; any H and W; the temporal stride divides T. Of
                another `in_chans` than 3, as many channels.

        Returns:
            By name, (B, C, ceil(H / s), ceil(W / s)), or (B, C, T / t, ceil(H / s), ceil(W / s)) for video, in
            channels-last memory. They are taken before the final norm of Hiera.

        Raises:
            ValueError: the input's shape does not fit the model.
        """
        _, maps = self.encode(x, out_stages=self._stage.values())
        if self.out_norm:
            maps = {stage: self.get_submodule(f"norm_{name}")(maps[stage]) for name, stage in self._stage.items()}
        return {name: maps[stage].movedim(-1, 1) for name, stage in self._stage.items()}  # (B, C, (T,) H, W)
