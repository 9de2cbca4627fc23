"""Which config a resumed run has."""

from __future__ import annotations

import logging

import pytest

from hiera_det.config import config_from, get_cfg
from hiera_det.config.resume import resumed_config

SAVED = config_from({}, source="test")


def config(*overrides):
    return config_from({}, list(overrides), source="test")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MODEL.HIERA.LAYOUT", "released"),
        ("MODEL.HIERA.WINDOW_SIZES", "[8, 4, 14, 7]"),
        ("MODEL.HIERA.DROP_PATH_RATE", "0.5"),
        ("SOLVER.IMS_PER_BATCH", "32"),
        ("SOLVER.WEIGHT_DECAY", "0.5"),
        ("SOLVER.BASE_LR", "0.5"),
        ("INPUT.CROP.ENABLED", "True"),
        ("INPUT.RANDOM_FLIP", "none"),
        ("INPUT.MIN_SIZE_TRAIN", "(640, 800)"),
        ("DATALOADER.FILTER_EMPTY_ANNOTATIONS", "False"),
    ],
)
def test_keys_of_the_function_and_the_data_stream(key, value):
    cfg = config(key, value)
    with pytest.raises(ValueError, match=rf"this config is not that of x\.pth(?s:.)*{key}(?s:.)*command line"):
        resumed_config(cfg, SAVED, [], "x.pth")
    assert resumed_config(cfg, SAVED, [key], "x.pth") == cfg


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("SEED", "9"),
        ("SOLVER.MAX_ITER", "9"),
        ("SOLVER.CHECKPOINT_PERIOD", "9"),
        ("TEST.EVAL_PERIOD", "9"),
        ("DATASETS.TRAIN", "('shapes_train',)"),
        ("DATALOADER.NUM_WORKERS", "9"),
        ("MODEL.ROI_HEADS.SCORE_THRESH_TEST", "0.5"),
        ("INPUT.MIN_SIZE_TEST", "9"),
    ],
)
def test_of_others_the_checkpoint_s_value_holds(key, value, caplog):
    cfg = config(key, value)
    with caplog.at_level(logging.INFO, logger="hiera_det"):
        assert resumed_config(cfg, SAVED, [], "x.pth") == SAVED
    (record,) = caplog.records
    header, line = record.getMessage().splitlines()[1:]
    assert header.split("  ")[1] == "key" and line.split()[0] == key and line.endswith("the checkpoint's")
    assert resumed_config(cfg, SAVED, [key], "x.pth") == cfg


def test_the_same_config_is_not_spoken_of(caplog):
    with caplog.at_level(logging.INFO, logger="hiera_det"):
        assert resumed_config(get_cfg(), SAVED, ["SEED"], "x.pth") == SAVED
    assert not caplog.records


def test_the_folder_is_the_one_of_now():
    assert resumed_config(config("OUTPUT_DIR", "moved"), SAVED, [], "x.pth").OUTPUT_DIR == "moved"


def test_epochs_that_are_given_make_iterations_anew():
    from hiera_det.pretraining.config import defaults

    saved = config_from({}, ["SOLVER.MAX_ITER", "40", "SOLVER.WARMUP_ITERS", "4"], defaults(), source="test")
    cfg = config_from({}, ["SOLVER.MAX_EPOCHS", "800.0"], defaults(), source="test")
    assert resumed_config(cfg, saved, ["SOLVER.MAX_EPOCHS"], "x.pth").SOLVER.MAX_ITER == 0
    assert resumed_config(config_from({}, [], defaults(), source="test"), saved, [], "x.pth").SOLVER.MAX_ITER == 40
