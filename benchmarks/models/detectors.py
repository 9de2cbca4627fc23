"""The detectors that are compared, with random weights: ours on both backends, and those of other packages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from fvcore.common.config import CfgNode
from torch import nn
from torch.optim.swa_utils import update_bn

from benchmarks.candidate import DTYPES, OURS, check_names
from benchmarks.cases import combinations
from benchmarks.models.backbones import vitdet_config
from hiera_det.detection.model.detector import build_model
from hiera_det.detection.model.detectron2_names import to_detectron2

__all__ = ["DETECTORS", "Detector", "at_size", "autocast", "detector_cases"]


class Detector(NamedTuple):
    """One implementation.

    Attributes:
        function: detectors with the same word here compute the same function with the same weights.
        package: its package on PyPI.
        build: makes the detector for a config. Raises ModuleNotFoundError where the package is not installed.
        one_size: whether the detector pads all images to one size, for a config.
    """

    function: str
    package: str
    build: Callable[[CfgNode], nn.Module]
    one_size: Callable[[CfgNode], bool]


def detector_cases(
    cfg: CfgNode, baselines: Sequence[str], axes: Mapping[str, Sequence[Any]]
) -> Iterator[tuple[CfgNode, dict[str, Any]]]:
    """Yield every combination of the axes, each with a config of its size that is not frozen.

    Raises:
        ValueError: a name or value is unknown.
    """
    check_names("--vs", baselines, [name for name in DETECTORS if name != "ours"])
    check_names("--dtype", axes["dtype"], DTYPES)
    for case in combinations(axes):
        yield at_size(cfg, case["size"]), {"variant": cfg.MODEL.HIERA.NAME, **case}


def at_size(cfg: CfgNode, size: int | None) -> CfgNode:
    """Copy a config, not frozen, and set the longer side of its images to `size` pixels; None keeps the config's."""
    cfg = cfg.clone()
    cfg.defrost()
    if size is not None:
        cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MAX_SIZE_TRAIN = (size,), size
        cfg.INPUT.MIN_SIZE_TEST = cfg.INPUT.MAX_SIZE_TEST = size
        if cfg.MODEL.HIERA.SQUARE_PAD:
            cfg.MODEL.HIERA.SQUARE_PAD = size
    return cfg


def autocast(device: str, dtype: str) -> torch.autocast:
    """Return the context for a dtype of `DTYPES`; with "fp32" it does nothing."""
    return torch.autocast(device, DTYPES[dtype], enabled=dtype != "fp32")


def _build_ours(cfg: CfgNode) -> nn.Module:
    torch.manual_seed(0)
    return build_model(cfg)


def _build_on_detectron2(cfg: CfgNode) -> nn.Module:
    """Build our config in detectron2, with the weights of `_build_ours`."""
    import detectron2.modeling

    from hiera_det.detectron2.trainer import defaults

    merged = defaults()
    merged.merge_from_other_cfg(cfg)
    merged.MODEL.DEVICE = "cpu"  # the caller moves it
    model = detectron2.modeling.build_model(merged)
    model.load_state_dict(to_detectron2(_build_ours(cfg).state_dict()))
    return model


def _build_vitdet(cfg: CfgNode) -> nn.Module:
    """Build detectron2's own ViTDet-B, for the classes and the size of our config."""
    from detectron2.config import instantiate

    lazy = vitdet_config(max(cfg.INPUT.MAX_SIZE_TRAIN, cfg.INPUT.MAX_SIZE_TEST))
    lazy.roi_heads.num_classes = cfg.MODEL.ROI_HEADS.NUM_CLASSES
    if not cfg.MODEL.MASK_ON:
        for key in ("mask_in_features", "mask_pooler", "mask_head"):
            lazy.roi_heads.pop(key)
    torch.manual_seed(0)
    return instantiate(lazy)


def _build_resnet50(cfg: CfgNode) -> nn.Module:
    """Build torchvision's Mask or Faster R-CNN (ResNet-50, FPN, version 2), for our config's classes and size."""
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
    # Statistics of noise for batch norms: without them, activations of random weights grow without bound.
    update_bn([torch.randn(1, 3, 128, 128)], model.backbone)
    return model


def _pads_to_square(cfg: CfgNode) -> bool:
    return cfg.MODEL.HIERA.SQUARE_PAD > 0


DETECTORS = {
    "ours": Detector("our detector", OURS, _build_ours, _pads_to_square),
    "detectron2": Detector("our detector", "detectron2", _build_on_detectron2, _pads_to_square),
    "detectron2-vitdet": Detector("ViTDet-B", "detectron2", _build_vitdet, lambda _: True),
    "torchvision-resnet50": Detector("ResNet-50", "torchvision", _build_resnet50, lambda _: False),
}
