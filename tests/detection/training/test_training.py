from __future__ import annotations

import io
import json
import logging
import math

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hiera_det.config import load_config
from hiera_det.engine.options import items_per_device

LOSSES = ["total_loss", "loss_cls", "loss_box_reg", "loss_mask", "loss_rpn_cls", "loss_rpn_loc"]
NO_TEST = ["DATASETS.TEST", "()"]


@pytest.fixture(scope="module")
def events(trained) -> EventAccumulator:
    accumulator = EventAccumulator(str(trained.folder))
    accumulator.Reload()
    return accumulator


def test_metrics_json(trained):
    assert len(trained.losses) == 6
    for record in trained.records:
        assert sum(record[name] for name in LOSSES[1:]) == pytest.approx(record["total_loss"], rel=1e-5)
        assert {"iteration", "lr", "time", "data_time", "eta_seconds", *LOSSES} <= record.keys()
    # warm-up over 2 iterations from 0.001, a tenth from iteration 4 on; quickstart.yaml's base rate
    base = load_config(trained.config).SOLVER.BASE_LR
    rates = [record["lr"] / base for record in trained.records]
    assert rates == pytest.approx([0.001, 0.5005, 1, 1, 0.1, 0.1])
    assert trained.records[-1]["eta_seconds"] == 0


def test_output_folder(trained):
    assert {path.name for path in trained.folder.iterdir() if not path.name.startswith("events")} == {
        *("config.yaml", "log.txt", "metrics.json", "last_checkpoint", "inference"),
        *("model_0000002.pth", "model_final.pth"),
    }
    assert (trained.folder / "last_checkpoint").read_text() == "model_final.pth"
    assert load_config(trained.folder / "config.yaml").SOLVER.MAX_ITER == 6
    assert "training from scratch" in trained.log


def test_tensorboard(trained, events):
    (point,) = events.Scalars("total_loss")
    assert (point.step, point.value) == (5, pytest.approx(trained.losses[5]["total_loss"]))
    assert "bbox/AP50" in events.Tags()["scalars"]
    assert [picture.step for picture in events.Images("train/detections")] == [2, 5]


def test_evaluation_files(trained):
    folder = trained.folder / "inference"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["dataset"] == "shapes_val"
    assert {"AP", "AP50", "AP75", "AP-circle"} <= metrics["bbox"].keys() == metrics["segm"].keys()
    assert trained.records[-1]["segm/AP"] == metrics["segm"]["AP"]
    results = json.loads((folder / "coco_instances_results.json").read_text())
    assert all({"image_id", "category_id", "bbox", "score", "segmentation"} <= result.keys() for result in results)
    assert len(list((folder / "pictures").glob("*.png"))) == 5
    assert "AP by category" in trained.log


def test_it_learns_what_it_is_shown(run):
    """The loss of one image falls: the optimizer steps along the gradients of the losses that are logged."""
    run("SOLVER.MAX_ITER", "20", "SOLVER.STEPS", "()", "SOLVER.BASE_LR", "0.01", *NO_TEST)
    totals = [losses["total_loss"] for losses in run.losses]
    assert np.mean(totals[-3:]) < 0.7 * np.mean(totals[:3])


def test_periodic_evaluation(run):
    run("SOLVER.MAX_ITER", "5", "TEST.EVAL_PERIOD", "2")
    assert [record["iteration"] for record in run.records if "bbox/AP" in record] == [1, 3, 4]
    assert run.log.count("evaluating on shapes_val") == 3


def test_last_iteration_is_evaluated_once(run):
    run("SOLVER.MAX_ITER", "2", "TEST.EVAL_PERIOD", "2")
    assert run.log.count("evaluating on shapes_val") == 1


def test_evaluation_does_not_change_training(run, trained):
    run("TEST.EVAL_PERIOD", "1", "DATALOADER.NUM_WORKERS", "2")
    assert run.losses == trained.losses


def test_images_of_an_iteration_are_split_evenly(config_file):
    cfg = load_config(config_file, ["SOLVER.IMS_PER_BATCH", "8"])
    assert items_per_device(cfg, world_size=2, accumulate=2) == 4
    with pytest.raises(ValueError, match=r"IMS_PER_BATCH is 8: .* 3 devices x --accumulate 2"):
        items_per_device(cfg, world_size=3, accumulate=2)


@pytest.mark.parametrize("clipped", [True, False])
def test_gradients_are_clipped(run, clipped):
    """Clipped to 0 they move nothing."""
    clip = ["SOLVER.CLIP_GRADIENTS.ENABLED", str(clipped), "SOLVER.CLIP_GRADIENTS.CLIP_VALUE", "0.0"]
    plain = ["SOLVER.OPTIMIZER", "SGD", "SOLVER.WEIGHT_DECAY", "0.0", "SOLVER.CHECKPOINT_PERIOD", "1"]
    run(*clip, *plain, "SOLVER.MAX_ITER", "2", *NO_TEST)
    first, last = (run.checkpoint(name)["model"] for name in ("model_0000000.pth", "model_final.pth"))
    assert all(torch.equal(value, last[name]) for name, value in first.items()) == clipped


def test_own_dataset_without_test_set(run, datasets_root):
    shapes = datasets_root / "shapes"
    flags = ["--dataset-json", str(shapes / "annotations" / "instances_val.json"), "--image-root", str(shapes / "val")]
    run(*flags, "SOLVER.MAX_ITER", "1")
    assert "instances_val: 5 images, 5 of them in use, 5 with instances" in run.log
    assert "no evaluation" in run.log


def test_cpu_instead_of_a_missing_gpu(run, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    run("MODEL.DEVICE", "cuda", "SOLVER.AMP.ENABLED", "True", "SOLVER.MAX_ITER", "1", *NO_TEST)
    assert "no GPU is available: running on the CPU" in run.log
    assert "computing in fp32" in run.log


def test_bf16(run, trained):
    run("--precision", "bf16", "SOLVER.MAX_ITER", "2", *NO_TEST)
    assert all(math.isfinite(losses["total_loss"]) for losses in run.losses)
    # The same weights and images as in fp32: nearly the same losses, but not the same.
    assert all(value != run.losses[0][name] for name, value in trained.losses[0].items())
    assert run.losses[0]["total_loss"] == pytest.approx(trained.losses[0]["total_loss"], rel=0.1)


def test_bgr_pictures(run, events, trained):
    """What TensorBoard shows is RGB whatever the model reads."""
    run("INPUT.FORMAT", "BGR", "VIS_PERIOD", "3", "SOLVER.MAX_ITER", "3", *NO_TEST)
    accumulator = EventAccumulator(str(run.folder))
    accumulator.Reload()
    pictures = []
    for source in (events, accumulator):
        encoded = source.Images("train/detections")[0].encoded_image_string
        picture = np.asarray(Image.open(io.BytesIO(encoded))).astype(int)
        pictures.append(picture[26:, : picture.shape[1] // 2 - 3])  # the ground truth, below its title
    assert np.abs(pictures[0] - pictures[1]).max() == 0


def test_logging_does_not_pile_up(run):
    run("SOLVER.MAX_ITER", "1", *NO_TEST)
    run("SOLVER.MAX_ITER", "1", *NO_TEST)
    assert len(logging.getLogger("hiera_det").handlers) == 1  # stderr's; the files are closed
