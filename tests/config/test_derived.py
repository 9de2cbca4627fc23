"""Keys that carry others, and epochs in place of iterations."""

from __future__ import annotations

import json
import logging
import re

import pytest

from hiera_det.config import find_config, get_cfg, load_config, save_config, to_plain
from hiera_det.data.catalog import DatasetFiles
from hiera_det.tasks import load_run_config


@pytest.mark.parametrize("size, window", [(320, 10), (640, 10), (1024, 16), (512, 16), (448, 14), (96, 8)])
def test_one_size_for_all(size, window):
    cfg = load_config("mask_rcnn_hiera_t", ["INPUT.IMAGE_SIZE", size])
    node = cfg.INPUT
    assert ((size,), *[size] * 3) == (node.MIN_SIZE_TRAIN, node.MAX_SIZE_TRAIN, node.MIN_SIZE_TEST, node.MAX_SIZE_TEST)
    assert size == cfg.MODEL.HIERA.SQUARE_PAD and node.IMAGE_SIZE == 0
    assert [[size / 32], [size / 16], [size / 8], [size / 4], [size / 2]] == cfg.MODEL.ANCHOR_GENERATOR.SIZES
    assert [8, 4, window, window // 2] == cfg.MODEL.HIERA.WINDOW_SIZES
    padded = -(-size // 16 // window) * window
    assert all(-(-size // 16 // other) * other >= padded for other in (8, 10, 12, 14, 16))


def test_what_is_given_holds_and_sam2s_windows_stay():
    given = ["INPUT.IMAGE_SIZE", "320", "INPUT.MIN_SIZE_TEST", "400", "INPUT.MAX_SIZE_TEST", "400"]
    cfg = load_config("finetune_sam2.1_t", given)
    assert cfg.INPUT.MIN_SIZE_TEST == 400 and cfg.INPUT.MIN_SIZE_TRAIN == (320,)
    assert cfg.MODEL.HIERA.WINDOW_SIZES == [8, 4, 14, 7]
    assert load_config("finetune_small").MODEL.HIERA.SQUARE_PAD == 0


def test_a_saved_config_keeps_what_was_given(tmp_path):
    cfg = load_config("finetune_small", ["INPUT.MIN_SIZE_TEST", "200"])
    save_config(cfg, tmp_path / "config.yaml")
    assert to_plain(load_config(tmp_path / "config.yaml")) == to_plain(cfg)
    larger = load_config(tmp_path / "config.yaml", ["INPUT.IMAGE_SIZE", "640"])
    assert larger.INPUT.MIN_SIZE_TEST == larger.INPUT.MAX_SIZE_TRAIN == 640
    assert larger.MODEL.ANCHOR_GENERATOR.SIZES[0] == [20.0]


def test_sizes_that_are_none():
    with pytest.raises(ValueError, match=r"INPUT\.IMAGE_SIZE is 500, expected a multiple of 32"):
        load_config("mask_rcnn_hiera_t", ["INPUT.IMAGE_SIZE", "500"])


@pytest.mark.parametrize(
    ("overrides", "rate"),
    [
        (["SOLVER.IMS_PER_BATCH", "64"], 1e-4),
        (["SOLVER.IMS_PER_BATCH", "16"], 5e-5),
        (["SOLVER.IMS_PER_BATCH", "16", "SOLVER.OPTIMIZER", "SGD"], 2.5e-5),
        (["SOLVER.IMS_PER_BATCH", "16", "SOLVER.BASE_LR", "0.3"], 0.3),
        (["SOLVER.IMS_PER_BATCH", "16", "SOLVER.BASE_LR_BATCH", "0"], 1e-4),
    ],
)
def test_the_rate_goes_with_the_batch(overrides, rate, tmp_path):
    cfg = load_config("finetune_hiera_t", overrides)
    assert pytest.approx(rate) == cfg.SOLVER.BASE_LR
    (tmp_path / "config.yaml").write_text(cfg.dump())
    assert load_config(tmp_path / "config.yaml").SOLVER.BASE_LR == cfg.SOLVER.BASE_LR  # not again


@pytest.fixture
def files(tmp_path):
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 64, "height": 64} for i in range(50)]
    boxes = [{"id": i, "image_id": i, "category_id": 1 + i % 2, "bbox": [1, 1, 9, 9], "iscrowd": 0} for i in range(40)]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]}
    (tmp_path / "train.json").write_text(json.dumps(content))
    return DatasetFiles("train", tmp_path / "train.json", tmp_path)


def run_config(files, *overrides, name="finetune_small"):
    return load_run_config(find_config(name), list(overrides), get_cfg(), files)


def test_epochs(files):
    cfg = run_config(files)
    assert cfg.SOLVER.MAX_ITER == 200 and cfg.SOLVER.WARMUP_ITERS == 20  # 16 epochs of 50 images, batches of 4
    assert cfg.TEST.EVAL_PERIOD == cfg.SOLVER.CHECKPOINT_PERIOD == 50  # 4 epochs
    assert cfg.MODEL.ROI_HEADS.NUM_CLASSES == 2
    cfg = run_config(files, "SOLVER.MAX_EPOCHS", "8", "SOLVER.IMS_PER_BATCH", "2", "TEST.EVAL_PERIOD", "7")
    assert (cfg.SOLVER.MAX_ITER, cfg.SOLVER.WARMUP_ITERS, cfg.TEST.EVAL_PERIOD) == (200, 20, 7)
    cfg = run_config(files, "DATALOADER.FILTER_EMPTY_ANNOTATIONS", "True")
    assert cfg.SOLVER.MAX_ITER == 160  # of 40 images


def test_iterations_that_are_given_beat_epochs(files, caplog):
    cfg = run_config(files, "SOLVER.MAX_ITER", "30")
    assert (cfg.SOLVER.MAX_ITER, cfg.SOLVER.WARMUP_ITERS) == (30, 3)
    assert not [line for line in caplog.messages if "epochs of the" in line]


@pytest.mark.parametrize(
    ("name", "overrides", "said"),
    [
        ("mask_rcnn_hiera_t", [], r"SOLVER.MAX_ITER 184375 with batches of 64 is 2.36e\+05 epochs of the 50 images"),
        ("finetune_small", ["SOLVER.MAX_ITER", "2"], "is 0.16 epochs of the 50 images; --epochs N asks for N of them"),
    ],
)
def test_odd_schedules_are_warned_of(name, overrides, said, files, caplog):
    with caplog.at_level(logging.WARNING):
        run_config(files, *overrides, name=name)
    assert re.search(said, caplog.text)


def test_epochs_of_a_named_dataset(files, monkeypatch, datasets_root):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(datasets_root))
    words = ["DATASETS.TRAIN", "('shapes_train',)", "MODEL.ROI_HEADS.NUM_CLASSES", "4"]
    assert run_config(None, *words).SOLVER.MAX_ITER == 40  # 16 epochs of 10 images
