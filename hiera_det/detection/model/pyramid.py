"""The backbone with its feature pyramid: p2 ... p6 from res2 ... res5."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from torch import Tensor, nn
from torchvision.models.convnext import LayerNorm2d
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from hiera_det.config import CfgNode


def norm_layer(name: str) -> Callable[[int], nn.Module] | None:
    """The layer that a ``NORM`` key means: ``""`` none, ``"LN"`` layer norm over the channels of NCHW maps.

    Behaviour matched: ``LayerNorm`` in detectron2/layers/batch_norm.py.
    """
    return partial(LayerNorm2d, eps=1e-6) if name == "LN" else None


class LevelPyramid(FeaturePyramidNetwork):
    """torchvision's FPN with its convolutions named by level: ``inner_blocks.2`` makes p2.

    The top level is the last one subsampled by 2, whichever level the last one is.

    Args:
        channels: of the incoming maps, by level (log2 of the stride), high to low resolution.
        out_channels: of every level.
        norm: layer after each convolution, None: none, and the convolutions have a bias.
    """

    def __init__(self, channels: dict[int, int], out_channels: int, norm: Callable[[int], nn.Module] | None) -> None:
        super().__init__(list(channels.values()), out_channels, LastLevelMaxPool(), norm)
        self.levels = [str(level) for level in channels]
        self.inner_blocks: Any = nn.ModuleDict(dict(zip(self.levels, self.inner_blocks, strict=True)))
        self.layer_blocks: Any = nn.ModuleDict(dict(zip(self.levels, self.layer_blocks, strict=True)))

    def get_result_from_inner_blocks(self, x: Tensor, idx: int) -> Tensor:  # noqa: D102
        return self.inner_blocks[self.levels[idx]](x)

    def get_result_from_layer_blocks(self, x: Tensor, idx: int) -> Tensor:  # noqa: D102
        return self.layer_blocks[self.levels[idx]](x)


class BackboneWithPyramid(nn.Module):
    """A backbone, and a feature pyramid on the maps it gives.

    Behaviour matched: ``FPN`` with ``LastLevelMaxPool`` in detectron2/modeling/backbone/fpn.py.

    Args:
        bottom_up: maps images (B, 3, H, W) to ``{name: (B, C, H / s, W / s)}``; has ``channels`` and
            ``strides`` by name.
        in_features: names of the maps, high to low resolution; each stride twice the one before.
        out_channels: channels of each level.
        norm: ``""`` or ``"LN"``.

    Attributes:
        strides: pixels per cell of each level, ``{"p2": 4, ..., "p6": 64}``.
        size_divisibility: of the images' height and width: the stride of the last map.

    Raises:
        ValueError: the backbone has no such map, or the strides do not double.
    """

    def __init__(self, bottom_up: nn.Module, in_features: list[str], out_channels: int, norm: str) -> None:
        super().__init__()
        known, all_channels = cast(Any, bottom_up).strides, cast(Any, bottom_up).channels
        unknown = [name for name in in_features if name not in known]
        if unknown or not in_features:
            raise ValueError(f"MODEL.FPN.IN_FEATURES: {list(in_features)}, but the backbone gives {list(known)}")
        strides = [known[name] for name in in_features]
        levels = [stride.bit_length() - 1 for stride in strides]
        if strides != [2 ** (levels[0] + i) for i in range(len(strides))]:
            raise ValueError(
                f"MODEL.FPN.IN_FEATURES: {list(in_features)} have strides {strides}; each must be twice the one before"
            )
        self.in_features = list(in_features)
        self.out_channels = out_channels
        self.strides = {f"p{level}": 2**level for level in [*levels, levels[-1] + 1]}
        self.size_divisibility = strides[-1]
        self.bottom_up = bottom_up
        channels = {level: all_channels[name] for level, name in zip(levels, in_features, strict=True)}
        self.fpn = LevelPyramid(channels, out_channels, norm_layer(norm))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Images (B, 3, H, W) to ``{"p2": (B, C, H / 4, W / 4), ...}``."""
        maps = self.bottom_up(images)
        levels = self.fpn(OrderedDict((name, maps[name]) for name in self.in_features))
        return dict(zip(self.strides, levels.values(), strict=True))


def build_pyramid(cfg: CfgNode, bottom_up: nn.Module) -> BackboneWithPyramid:
    """The pyramid of ``MODEL.FPN`` on this backbone."""
    node = cfg.MODEL.FPN
    return BackboneWithPyramid(bottom_up, node.IN_FEATURES, node.OUT_CHANNELS, node.NORM)
