"""Whether the torchvision backend does what a config asks for, of all that detectron2's keys can ask for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hiera_det.config import CfgNode, value_of
from hiera_det.data.reading import FORMATS, reading_of

# Key: the values that it may have, of what a trained model computes.
SUPPORTED: dict[str, tuple[Any, ...]] = {
    "FLOAT32_PRECISION": ("", "highest"),
    "MODEL.META_ARCHITECTURE": ("GeneralizedRCNN",),
    "MODEL.KEYPOINT_ON": (False,),
    "MODEL.LOAD_PROPOSALS": (False,),
    "MODEL.BACKBONE.NAME": ("build_hiera_fpn_backbone",),
    "MODEL.FPN.NORM": ("", "LN"),
    "MODEL.FPN.FUSE_TYPE": ("sum",),
    "MODEL.ANCHOR_GENERATOR.NAME": ("DefaultAnchorGenerator",),
    "MODEL.PROPOSAL_GENERATOR.NAME": ("RPN",),
    "MODEL.RPN.HEAD_NAME": ("StandardRPNHead",),
    "MODEL.ROI_HEADS.NAME": ("StandardROIHeads", "CascadeROIHeads"),
    "MODEL.ROI_BOX_HEAD.NAME": ("FastRCNNConvFCHead",),
    "MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE": (False,),
    "MODEL.ROI_BOX_HEAD.POOLER_TYPE": ("ROIAlignV2",),
    "MODEL.ROI_BOX_HEAD.NORM": ("", "LN"),
    "MODEL.ROI_MASK_HEAD.NAME": ("MaskRCNNConvUpsampleHead",),
    "MODEL.ROI_MASK_HEAD.POOLER_TYPE": ("ROIAlignV2",),
    "MODEL.ROI_MASK_HEAD.NORM": ("", "LN"),
    "INPUT.FORMAT": tuple(FORMATS),
}
# The same, of training alone. (hiera_det.detection.data checks those of INPUT that concern training images.)
SUPPORTED_IN_TRAINING: dict[str, tuple[Any, ...]] = {
    "MODEL.RPN.BBOX_REG_LOSS_TYPE": ("smooth_l1",),
    "MODEL.RPN.BOUNDARY_THRESH": (-1,),
    "MODEL.RPN.IOU_LABELS": ([0, -1, 1],),
    "MODEL.ROI_HEADS.IOU_LABELS": ([0, 1],),
    "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE": ("smooth_l1",),
    "MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES": (False,),
    "MODEL.ROI_BOX_HEAD.USE_FED_LOSS": (False,),
    "DATALOADER.ASPECT_RATIO_GROUPING": (False,),
    "DATALOADER.SAMPLER_TRAIN": ("TrainingSampler",),
    "SOLVER.OPTIMIZER": ("SGD", "ADAMW"),
    "SOLVER.LR_SCHEDULER_NAME": ("WarmupMultiStepLR", "WarmupCosineLR"),
    "SOLVER.WARMUP_METHOD": ("linear", "constant"),
    "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": ("value", "norm", "full_model"),
    "SOLVER.REFERENCE_WORLD_SIZE": (0,),
}
# Key: how many values it needs.
LENGTHS = {
    "MODEL.RPN.IOU_THRESHOLDS": 2,
    "MODEL.RPN.BBOX_REG_WEIGHTS": 4,
    "MODEL.ROI_HEADS.IOU_THRESHOLDS": 1,
    "MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS": 4,
}


def check_config(cfg: CfgNode) -> None:
    """Check that this backend builds the model that a config asks for.

    Raises:
        ValueError: it does not; the message names the key, its value, and what is supported.
    """
    _check_values(cfg, SUPPORTED)
    reading_of(cfg)  # PIXEL_MEAN, PIXEL_STD and the keys of images
    for key, length in LENGTHS.items():
        if len(value_of(cfg, key)) != length:
            raise _unsupported(cfg, key, f"{length} of them")
    if cfg.MODEL.ROI_HEADS.NAME == "CascadeROIHeads":
        _check_cascade(cfg)
    channels = cfg.MODEL.FPN.OUT_CHANNELS
    dims = cfg.MODEL.RPN.CONV_DIMS
    if not dims or any(dim not in (-1, channels) for dim in dims):
        raise _unsupported(cfg, "MODEL.RPN.CONV_DIMS", f"one or more of -1 and MODEL.FPN.OUT_CHANNELS ({channels})")


def check_training_config(cfg: CfgNode) -> None:
    """Check that this backend trains as a config asks for; evaluation and prediction do not depend on these keys.

    Raises:
        ValueError: it does not; the message names the key, its value, and what is supported.
    """
    _check_values(cfg, SUPPORTED_IN_TRAINING)


def _check_values(cfg: CfgNode, supported: dict[str, tuple[Any, ...]]) -> None:
    for key, values in supported.items():
        if value_of(cfg, key) not in values:
            raise _unsupported(cfg, key, _either(values))


def _check_cascade(cfg: CfgNode) -> None:
    """Check what detectron2's cascade takes for granted."""
    ious = cfg.MODEL.ROI_BOX_CASCADE_HEAD.IOUS
    if ious[0] != cfg.MODEL.ROI_HEADS.IOU_THRESHOLDS[0]:
        raise _unsupported(cfg, "MODEL.ROI_HEADS.IOU_THRESHOLDS", f"ROI_BOX_CASCADE_HEAD.IOUS' first, {ious[0]}")
    if not cfg.MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG:
        raise _unsupported(cfg, "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG", "True with CascadeROIHeads")


def _either(values: Iterable[Any]) -> str:
    return " or ".join(repr(value) for value in values)


def _unsupported(cfg: CfgNode, key: str, supported: str) -> ValueError:
    return ValueError(
        f"{key} is {value_of(cfg, key)!r}; the torchvision backend supports {supported}."
        " What detectron2 can do besides, --backend detectron2 does where detectron2 is installed"
    )
