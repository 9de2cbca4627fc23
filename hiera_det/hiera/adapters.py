"""A HieraBackbone with the interface of timm's or of transformers' backbones, for code that was written for those."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from hiera_det.hiera.backbone import HieraBackbone

__all__ = ["FeatureInfo", "StageMaps", "TimmFeatures", "TransformersBackbone"]


class FeatureInfo:
    """What timm's ``feature_info`` tells of the maps; by default of those that are returned.

    Attributes:
        info: of every stage, ``num_chs``, ``reduction`` (pixels per cell), ``module`` and ``index``.
        out_indices: the stages, from 0, whose maps are returned.
    """

    def __init__(self, info: list[dict[str, Any]], out_indices: tuple[int, ...]):
        self.info = info
        self.out_indices = out_indices

    def get(self, key: str, idx: int | Sequence[int] | None = None) -> Any:
        """One entry of `info`: of one stage, or a list of several stages' entries; None: of the returned maps."""
        if isinstance(idx, int):
            return self.info[idx][key]
        return [self.info[i][key] for i in (self.out_indices if idx is None else idx)]

    def get_dicts(self, keys: Sequence[str] | None = None, idx: int | Sequence[int] | None = None) -> Any:
        """The entries of `info` with these keys, None: all; of one stage or a list as in :meth:`get`."""
        if isinstance(idx, int):
            return {key: self.info[idx][key] for key in keys or self.info[idx]}
        return [self.get_dicts(keys, i) for i in (self.out_indices if idx is None else idx)]

    def channels(self, idx: int | Sequence[int] | None = None) -> Any:
        """Channels, see :meth:`get`."""
        return self.get("num_chs", idx)

    def reduction(self, idx: int | Sequence[int] | None = None) -> Any:
        """Pixels per cell, see :meth:`get`."""
        return self.get("reduction", idx)

    def module_name(self, idx: int | Sequence[int] | None = None) -> Any:
        """The block after which the map is taken, "blocks.4" for example, see :meth:`get`."""
        return self.get("module", idx)


class TimmFeatures(nn.Module):
    """A backbone as ``timm.create_model(..., features_only=True)`` gives it.

    Args:
        backbone: its `out_features` choose the maps.
    """

    def __init__(self, backbone: HieraBackbone):
        super().__init__()
        self.backbone = backbone
        stages = zip(backbone.stage_dims, backbone.stage_strides, backbone.stage_ends, strict=True)
        self.feature_info = FeatureInfo(
            [
                {"num_chs": channels, "reduction": strides[-1], "module": f"blocks.{end}", "index": index}
                for index, (channels, strides, end) in enumerate(stages)
            ],
            _stage_indices(backbone),
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """The maps of :meth:`HieraBackbone.forward`, from fine to coarse."""
        return list(self.backbone(x).values())


class StageMaps(NamedTuple):
    """What a backbone of transformers returns; the latter two are None, as no head reads them."""

    feature_maps: tuple[Tensor, ...]
    hidden_states: None = None
    attentions: None = None


class TransformersBackbone(nn.Module):
    """A backbone as ``transformers.AutoBackbone`` gives it, where a head of transformers takes one.

    Args:
        backbone: its `out_features` choose the maps: "res2" is transformers' "stage1".

    Attributes:
        stage_names: "stem", "stage1" … "stage4"; `out_features` and `out_indices` count by them.
        channels: of each returned map.
    """

    def __init__(self, backbone: HieraBackbone):
        super().__init__()
        self.backbone = backbone
        self.stage_names = ["stem", *(f"stage{i + 1}" for i in range(len(backbone.stages)))]
        self.out_indices = [i + 1 for i in _stage_indices(backbone)]
        self.out_features = [self.stage_names[i] for i in self.out_indices]
        self.channels = list(backbone.channels.values())

    def forward(self, pixel_values: Tensor) -> StageMaps:
        """The maps of :meth:`HieraBackbone.forward`, from fine to coarse."""
        return StageMaps(tuple(self.backbone(pixel_values).values()))

    def forward_with_filtered_kwargs(
        self, pixel_values: Tensor, output_hidden_states: bool | None = None, output_attentions: bool | None = None
    ) -> StageMaps:
        """As UperNet and others call it.

        Raises:
            ValueError: hidden states or attentions are asked for.
        """
        if output_hidden_states or output_attentions:
            raise ValueError("output_hidden_states and output_attentions: this backbone gives feature_maps only")
        return self(pixel_values)


def _stage_indices(backbone: HieraBackbone) -> tuple[int, ...]:
    return tuple(int(name.removeprefix("res")) - 2 for name in backbone.out_features)
