"""Configs that ask for what this backend does not do."""

from __future__ import annotations

import re

import pytest

from hiera_det.config import get_cfg, load_config
from hiera_det.detection.model.config_check import check_config
from hiera_det.detection.model.detector import build_model
from hiera_det.detection.task import DetectionTask


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MODEL.META_ARCHITECTURE", "RetinaNet"),
        ("MODEL.BACKBONE.NAME", "build_resnet_fpn_backbone"),
        ("MODEL.FPN.NORM", "GN"),
        ("MODEL.FPN.FUSE_TYPE", "avg"),
        ("MODEL.ANCHOR_GENERATOR.NAME", "RotatedAnchorGenerator"),
        ("MODEL.PROPOSAL_GENERATOR.NAME", "RRPN"),
        ("MODEL.RPN.HEAD_NAME", "Other"),
        ("MODEL.RPN.CONV_DIMS", "[64, -1]"),
        ("MODEL.ROI_HEADS.NAME", "Res5ROIHeads"),
        ("MODEL.ROI_BOX_HEAD.NAME", "Other"),
        ("MODEL.ROI_BOX_HEAD.POOLER_TYPE", "ROIPool"),
        ("MODEL.ROI_BOX_HEAD.NORM", "SyncBN"),
        ("MODEL.ROI_MASK_HEAD.NAME", "PointRendMaskHead"),
        ("MODEL.ROI_MASK_HEAD.POOLER_TYPE", "ROIAlign"),
        ("MODEL.ROI_MASK_HEAD.NORM", "BN"),
        ("INPUT.FORMAT", "YUV-BT.601"),
        ("FLOAT32_PRECISION", "medium"),
        ("MODEL.KEYPOINT_ON", "True"),
        ("MODEL.LOAD_PROPOSALS", "True"),
        ("MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE", "True"),
    ],
)
def test_refused_with_key_and_value(tiny, key, value):
    cfg = load_config(tiny.CONFIG, [key, value])
    with pytest.raises(ValueError, match=rf"{key} is .*{value[1:-1]}.*; the torchvision backend supports"):
        build_model(cfg)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MODEL.RPN.BBOX_REG_LOSS_TYPE", "giou"),
        ("MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE", "giou"),
        ("DATALOADER.ASPECT_RATIO_GROUPING", "True"),
        ("DATALOADER.SAMPLER_TRAIN", "RepeatFactorTrainingSampler"),
        ("SOLVER.LR_SCHEDULER_NAME", "WarmupStepWithFixedGammaLR"),
        ("MODEL.RPN.BOUNDARY_THRESH", "0"),
        ("MODEL.RPN.IOU_LABELS", "[0, 1, 1]"),
        ("MODEL.ROI_HEADS.IOU_LABELS", "[1, 0]"),
        ("MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES", "True"),
        ("MODEL.ROI_BOX_HEAD.USE_FED_LOSS", "True"),
        ("SOLVER.REFERENCE_WORLD_SIZE", "8"),
    ],
)
def test_keys_of_training_are_refused_in_training_alone(tiny, key, value):
    cfg = load_config(tiny.CONFIG, [key, value])
    check_config(cfg)
    with pytest.raises(ValueError, match=rf"{key} is .*{re.escape(value.strip('[]'))}.*; the torchvision backend supp"):
        DetectionTask(cfg).train_dataset  # noqa: B018  # a property


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MODEL.ROI_BOX_CASCADE_HEAD.IOUS", "(0.5,)"),
        ("MODEL.ROI_BOX_CASCADE_HEAD.BBOX_REG_WEIGHTS", "((10.0, 10.0, 5.0, 5.0),)"),
        ("MODEL.ROI_HEADS.IOU_THRESHOLDS", "[0.6]"),
        ("MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG", "False"),
    ],
)
def test_cascades_that_detectron2_refuses_too(tiny, key, value):
    words = [str(word) for pair in tiny.CASCADE.items() for word in pair]
    with pytest.raises(ValueError, match=f"{key} is "):
        build_model(load_config(tiny.CONFIG, [*words, key, value]))


@pytest.mark.parametrize(
    ("node", "thresholds", "labels"), [("RPN", "[0.5]", "[0, 1]"), ("ROI_HEADS", "[0.4, 0.5]", "[0, -1, 1]")]
)
def test_as_many_thresholds_as_the_matching_here_has(tiny, node, thresholds, labels):
    keys = [f"MODEL.{node}.IOU_THRESHOLDS", thresholds, f"MODEL.{node}.IOU_LABELS", labels]
    with pytest.raises(ValueError, match=rf"MODEL\.{node}\.IOU_THRESHOLDS is .*; the torchvision backend supports"):
        build_model(load_config(tiny.CONFIG, keys))


def test_detectron2s_defaults_are_another_model():
    with pytest.raises(ValueError, match="build_resnet_backbone"):
        check_config(get_cfg())
