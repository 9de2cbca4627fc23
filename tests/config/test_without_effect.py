"""A detectron2 project's own YAML, and a dump of all its keys, on the torchvision backend."""

from __future__ import annotations

import logging

import pytest
import yaml

from hiera_det.config import get_cfg, load_config, save_config
from hiera_det.detection.model.config_check import check_config
from hiera_det.detection.model.detector import build_model
from hiera_det.detection.task import DetectionTask
from hiera_det.features.config import defaults as feature_defaults
from hiera_det.projects.ava.config import defaults as action_defaults

BASE = {  # what detectron2's Base-RCNN-FPN.yaml sets
    "MODEL": {
        "META_ARCHITECTURE": "GeneralizedRCNN",
        "BACKBONE": {"NAME": "build_resnet_fpn_backbone"},
        "RESNETS": {"OUT_FEATURES": ["res2", "res3", "res4", "res5"]},
        "FPN": {"IN_FEATURES": ["res2", "res3", "res4", "res5"]},
        "ANCHOR_GENERATOR": {"SIZES": [[32], [64], [128], [256], [512]], "ASPECT_RATIOS": [[0.5, 1.0, 2.0]]},
        "RPN": {"IN_FEATURES": ["p2", "p3", "p4", "p5", "p6"]},
        "ROI_HEADS": {"NAME": "StandardROIHeads", "IN_FEATURES": ["p2", "p3", "p4", "p5"]},
        "ROI_BOX_HEAD": {"NAME": "FastRCNNConvFCHead", "NUM_FC": 2, "POOLER_RESOLUTION": 7},
        "ROI_MASK_HEAD": {"NAME": "MaskRCNNConvUpsampleHead", "NUM_CONV": 4, "POOLER_RESOLUTION": 14},
    },
    "DATASETS": {"TRAIN": ["coco_2017_train"], "TEST": ["coco_2017_val"], "PRECOMPUTED_PROPOSAL_TOPK_TRAIN": 1000},
    "INPUT": {"MIN_SIZE_TRAIN": [640, 800]},
    "VERSION": 2,
}
OWN = {
    "_BASE_": "Base-RCNN-FPN.yaml",
    "CUDNN_BENCHMARK": True,
    "MODEL": {
        "BACKBONE": {"NAME": "build_hiera_fpn_backbone", "FREEZE_AT": 0},
        "HIERA": {"NAME": "hiera_tiny_224", "EMBED_DIM": 16, "NUM_HEADS": 1},
        "RESNETS": {"DEPTH": 101, "OF_THE_PROJECT": 1},
    },
    "DATALOADER": {"ASPECT_RATIO_GROUPING": True, "REPEAT_THRESHOLD": 0.001},
    "TEST": {"AUG": {"ENABLED": True}},
}


@pytest.fixture
def project(tmp_path):
    (tmp_path / "Base-RCNN-FPN.yaml").write_text(yaml.safe_dump(BASE))
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(OWN))
    return tmp_path / "own.yaml"


def test_a_projects_file_builds_its_detector(project, caplog):
    with caplog.at_level(logging.INFO):
        cfg = load_config(project, ["MODEL.RETINANET.NUM_CLASSES", "7", "SEED", "3"])
    assert [record.getMessage() for record in caplog.records] == [
        f"{project}: skipped keys of detectron2 without effect on this model: CUDNN_BENCHMARK, MODEL.RESNETS,"
        " DATASETS.PRECOMPUTED_PROPOSAL_TOPK_TRAIN, DATALOADER.REPEAT_THRESHOLD, TEST.AUG",
        "the command line: skipped keys of detectron2 without effect on this model: MODEL.RETINANET.NUM_CLASSES",
    ]
    assert cfg.SEED == 3 and cfg.DATALOADER.ASPECT_RATIO_GROUPING
    build_model(cfg)  # which evaluation and prediction do
    with pytest.raises(ValueError, match=r"DATALOADER\.ASPECT_RATIO_GROUPING is True"):
        DetectionTask(cfg).train_dataset  # noqa: B018  # a property


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MODEL.KEYPOINT_ON", "True"),
        ("MODEL.LOAD_PROPOSALS", "True"),
        ("MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE", "True"),
        ("MODEL.META_ARCHITECTURE", "RetinaNet"),
    ],
)
def test_a_key_that_would_matter_is_an_error(project, key, value):
    with pytest.raises(ValueError, match=f"{key} is .*the torchvision backend supports"):
        check_config(load_config(project, [key, value]))


@pytest.mark.parametrize("key", ["MODEL.RESNETZ.DEPTH", "MODEL.RESNET", "MODEL.POINT_HEAD.NAME", "TEST.AUGMENT"])
def test_a_key_that_nobody_knows_is_an_error(project, key):
    with pytest.raises(ValueError, match=f"Non-existent.*{key.rpartition('.')[0] or key}"):
        load_config(project, [key, "1"])


@pytest.mark.parametrize("defaults", [action_defaults, feature_defaults])
def test_other_tasks_know_no_keys_of_detectron2(tmp_path, defaults):
    (tmp_path / "a.yaml").write_text("MODEL:\n  RESNETS:\n    DEPTH: 50\n")
    with pytest.raises(ValueError, match=r"MODEL\.RESNETS"):
        load_config(tmp_path / "a.yaml", (), defaults())


def test_every_key_of_detectron2_is_known_or_without_effect(tmp_path, caplog):
    trainer = pytest.importorskip("hiera_det.detectron2.trainer", exc_type=ImportError)
    save_config(trainer.defaults(), tmp_path / "config.yaml")
    with caplog.at_level(logging.INFO):
        assert load_config(tmp_path / "config.yaml").dump() == get_cfg().dump()
    assert len(caplog.records) == 1
    caplog.clear()
    load_config(tmp_path / "config.yaml", (), trainer.defaults())
    assert not caplog.records  # there they have an effect
