"""The detectors that are compared: ours on either backend, and what a user would take instead; random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from fvcore.common.config import CfgNode
from torch import nn

from benchmarks.contender import OURS
from hiera_det.detection.model.detector import build_model
from hiera_det.detection.model.detectron2_names import to_detectron2

__all__ = ["DETECTORS", "DetectorSource", "at_size"]


class DetectorSource(NamedTuple):
    """One implementation.

    Attributes:
        package: where it comes from.
        function: detectors with the same word here compute the same function of the same weights.
        build: from a config to the detector. Raises ModuleNotFoundError where the package is not installed.
        one_size: whether, by a config, it pads all images to one size.
    """

    package: str
    function: str
    build: Callable[[CfgNode], nn.Module]
    one_size: Callable[[CfgNode], bool]


def at_size(cfg: CfgNode, size: int | None) -> CfgNode:
    """A copy of a config whose images have `size` pixels along the longer side; None: those of the config.

    The copy is not frozen.
    """
    cfg = cfg.clone()
    cfg.defrost()
    if size is not None:
        cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MAX_SIZE_TRAIN = (size,), size
        cfg.INPUT.MIN_SIZE_TEST = cfg.INPUT.MAX_SIZE_TEST = size
        if cfg.MODEL.HIERA.SQUARE_PAD:
            cfg.MODEL.HIERA.SQUARE_PAD = size
    return cfg


def _build_ours(cfg: CfgNode) -> nn.Module:
    torch.manual_seed(0)
    return build_model(cfg)


def _build_on_detectron2(cfg: CfgNode) -> nn.Module:
    """Our config in detectron2, with the weights of `_build_ours`."""
    import detectron2.modeling

    from hiera_det.detectron2.trainer import defaults

    merged = defaults()
    merged.merge_from_other_cfg(cfg)
    merged.MODEL.DEVICE = "cpu"  # the caller moves it
    model = detectron2.modeling.build_model(merged)
    model.load_state_dict(to_detectron2(_build_ours(cfg).state_dict()))
    return model


def _build_vitdet(cfg: CfgNode) -> nn.Module:
    """detectron2's own model of ViTDet-B, for the classes and the size of our config."""
    from detectron2 import model_zoo
    from detectron2.config import instantiate

    lazy: Any = model_zoo.get_config("common/models/mask_rcnn_vitdet.py").model
    size = max(cfg.INPUT.MAX_SIZE_TRAIN, cfg.INPUT.MAX_SIZE_TEST)
    lazy.backbone.net.img_size = lazy.backbone.square_pad = size
    lazy.roi_heads.num_classes = cfg.MODEL.ROI_HEADS.NUM_CLASSES
    if not cfg.MODEL.MASK_ON:
        for key in ("mask_in_features", "mask_pooler", "mask_head"):
            lazy.roi_heads.pop(key)
    torch.manual_seed(0)
    return instantiate(lazy)


def _build_resnet50(cfg: CfgNode) -> nn.Module:
    """Mask or Faster R-CNN of torchvision on ResNet-50 with FPN, version 2, for our config's classes and size."""
    from torchvision.models import detection

    build = detection.maskrcnn_resnet50_fpn_v2 if cfg.MODEL.MASK_ON else detection.fasterrcnn_resnet50_fpn_v2
    torch.manual_seed(0)
    model = build(
        weights=None,
        weights_backbone=None,
        num_classes=1 + cfg.MODEL.ROI_HEADS.NUM_CLASSES,
        min_size=cfg.INPUT.MIN_SIZE_TEST,
        max_size=cfg.INPUT.MAX_SIZE_TEST,
    )
    _settle_norms(model.backbone)
    return model


def _settle_norms(backbone: nn.Module) -> None:
    """Give batch norms the statistics of noise: without them random weights make activations grow and grow."""
    norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        backbone.train()(torch.randn(1, 3, 128, 128))
    for norm in norms:
        norm.momentum = 0.1


def _pads_to_square(cfg: CfgNode) -> bool:
    return cfg.MODEL.HIERA.SQUARE_PAD > 0


DETECTORS = {
    "ours": DetectorSource(OURS, "our detector", _build_ours, _pads_to_square),
    "detectron2": DetectorSource("detectron2", "our detector", _build_on_detectron2, _pads_to_square),
    "detectron2-vitdet": DetectorSource("detectron2", "ViTDet-B", _build_vitdet, lambda _: True),
    "torchvision-resnet50": DetectorSource("torchvision", "ResNet-50", _build_resnet50, lambda _: False),
}
