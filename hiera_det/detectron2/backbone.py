"""Hiera under detectron2's backbone contract, and its feature pyramids, in ``BACKBONE_REGISTRY``."""

from __future__ import annotations

import math
from collections.abc import Sequence

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, FPN, Backbone
from detectron2.modeling.backbone.fpn import LastLevelMaxPool, LastLevelP6P7

from hiera_det.config import pyramid_maps
from hiera_det.config.ranges import check_ranges
from hiera_det.hiera.backbone import HieraBackbone

__all__ = ["Detectron2Hiera", "build_hiera_backbone", "build_hiera_fpn_backbone", "build_pyramid"]


class Detectron2Hiera(HieraBackbone, Backbone):
    """`HieraBackbone` as detectron2's ``Backbone``: arguments, names of parameters and maps are the same.

    Args:
        square_pad: images are padded to a square of this side in pixels; 0: not at all, since images of any size can
            be taken, padded inside to a multiple of 32. Beneath an FPN it is the FPN's ``square_pad`` that counts.

    The maps of a batch of (B, 3, H, W) are (B, C, ceil(H / s), ceil(W / s)).
    """

    def __init__(self, name: str, *args, square_pad: int = 0, **kwargs) -> None:
        super().__init__(name, *args, **kwargs)
        self._square_pad = square_pad

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and stride of each map, by name."""
        return {name: ShapeSpec(self.channels[name], stride=self.strides[name]) for name in self.out_features}

    @property
    def padding_constraints(self) -> dict[str, int]:
        """``square_size``."""
        return {"square_size": self._square_pad}


def build_pyramid(
    bottom_up: Backbone,
    in_features: Sequence[str],
    out_channels: int = 256,
    norm: str = "",
    fuse_type: str = "sum",
    square_pad: int = 0,
) -> FPN:
    """detectron2's FPN, with one more level that halves the last one, whichever that is.

    detectron2's own ``LastLevelMaxPool`` always halves p5.

    Args:
        bottom_up: the backbone.
        in_features: its maps, high to low resolution; strides double.
        out_channels: of each level.
        norm: "" or one of detectron2's, "LN" for example.
        fuse_type: "sum" or "avg".
        square_pad: images are padded to a square of this side in pixels; 0: to a multiple of the last stride.

    Returns:
        (B, 3, H, W) to ``{"p2": (B, out_channels, H / 4, W / 4), ...}``.
    """
    top_block = LastLevelMaxPool()
    top_block.in_feature = f"p{int(math.log2(bottom_up.output_shape()[in_features[-1]].stride))}"
    return FPN(bottom_up, list(in_features), out_channels, norm, top_block, fuse_type, square_pad)


@BACKBONE_REGISTRY.register()
def build_hiera_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> Detectron2Hiera:
    """The Hiera of ``MODEL.HIERA``, with the maps of ``MODEL.HIERA.OUT_FEATURES``.

    Raises:
        ValueError: keys are missing or do not fit one another; the message names them.
    """
    _check(cfg, input_shape)
    return Detectron2Hiera.from_config(cfg, square_pad=cfg.MODEL.HIERA.SQUARE_PAD)


@BACKBONE_REGISTRY.register()
def build_hiera_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """Hiera with the FPN of ``MODEL.FPN`` and one more level, p2 to p6 from res2 to res5.

    Raises:
        ValueError: as :func:`build_hiera_backbone`.
    """
    _check(cfg, input_shape)
    node, maps = cfg.MODEL.FPN, pyramid_maps(cfg)
    bottom_up = Detectron2Hiera.from_config(cfg, maps)
    square = cfg.MODEL.HIERA.SQUARE_PAD
    return build_pyramid(bottom_up, maps, node.OUT_CHANNELS, node.NORM, node.FUSE_TYPE, square)


@BACKBONE_REGISTRY.register()
def build_retinanet_hiera_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """Hiera with RetinaNet's pyramid: p3 to p5 from res3 to res5, and p6 and p7 by convolutions on res5.

    Raises:
        ValueError: as :func:`build_hiera_backbone`.
    """
    _check(cfg, input_shape)
    node, maps = cfg.MODEL.FPN, pyramid_maps(cfg)
    bottom_up = Detectron2Hiera.from_config(cfg, maps)
    top_block = LastLevelP6P7(bottom_up.channels[maps[-1]], node.OUT_CHANNELS, in_feature=maps[-1])
    square = cfg.MODEL.HIERA.SQUARE_PAD
    return FPN(bottom_up, maps, node.OUT_CHANNELS, node.NORM, top_block, node.FUSE_TYPE, square)


def _check(cfg: CfgNode, input_shape: ShapeSpec) -> None:
    if "HIERA" not in cfg.MODEL:
        raise ValueError(
            "the config has no MODEL.HIERA: call hiera_det.detectron2.add_hiera_config(cfg) right after get_cfg()"
        )
    check_ranges(cfg, lambda _: "the config")  # which detectron2 has read itself
    # detectron2 has PIL convert images to INPUT.FORMAT, whatever PIXEL_MEAN has.
    wanted = {1: ("L",), 3: ("RGB", "BGR"), 4: ("RGBA",)}.get(input_shape.channels, ())
    if cfg.INPUT.FORMAT not in wanted:
        raise ValueError(
            f"MODEL.PIXEL_MEAN has {input_shape.channels} values and INPUT.FORMAT is {cfg.INPUT.FORMAT!r}; detectron2"
            " takes 3 channels as RGB or BGR, 1 as L, 4 as RGBA"
        )
    square, largest = cfg.MODEL.HIERA.SQUARE_PAD, max(cfg.INPUT.MAX_SIZE_TRAIN, cfg.INPUT.MAX_SIZE_TEST)
    if square and (square < largest or cfg.INPUT.MIN_SIZE_TEST == 0):
        raise ValueError(
            f"MODEL.HIERA.SQUARE_PAD is {square}, INPUT.MAX_SIZE_TRAIN and MAX_SIZE_TEST go up to {largest}, and"
            f" INPUT.MIN_SIZE_TEST is {cfg.INPUT.MIN_SIZE_TEST} (0: images as they are): detectron2 would cut larger"
            " images off. Raise SQUARE_PAD, or 0 for no square"
        )
