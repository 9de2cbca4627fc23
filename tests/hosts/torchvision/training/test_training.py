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
from hiera_det.hosts.torchvision.detector import Detector
from hiera_det.hosts.torchvision.launch import images_per_batch

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


def test_eval_only_repeats_the_final_evaluation(run, trained):
    run("--eval-only", "MODEL.WEIGHTS", str(trained.folder / "model_final.pth"), "DATASETS.TRAIN", "('missing',)")
    ours, theirs = (json.loads((it.folder / "inference" / "metrics.json").read_text()) for it in (run, trained))
    assert ours == theirs
    assert not (run.folder / "metrics.json").exists()


def test_images_of_an_iteration_are_split_evenly(config_file):
    cfg = load_config(config_file, ["SOLVER.IMS_PER_BATCH", "8"])
    assert images_per_batch(cfg, world_size=2, accumulate=2) == 2
    with pytest.raises(ValueError, match=r"IMS_PER_BATCH is 8: .* 3 devices x --accumulate 2"):
        images_per_batch(cfg, world_size=3, accumulate=2)


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
    assert "dataset instances_val: 5 images" in run.log
    assert "no evaluation" in run.log


def test_not_finite_loss(run, monkeypatch):
    forward = Detector.forward
    calls = []

    def poisoned(self, images, targets=None, output_sizes=None):
        losses = forward(self, images, targets, output_sizes)
        calls.append([target["image_id"] for target in targets])
        return losses | {"loss_cls": losses["loss_cls"] * math.nan} if len(calls) == 3 else losses

    monkeypatch.setattr(Detector, "forward", poisoned)
    with pytest.raises(FloatingPointError) as error:
        run("SOLVER.CHECKPOINT_PERIOD", "1", *NO_TEST)
    message = str(error.value)
    assert "iteration 2" in message
    assert "loss_cls = nan" in message
    assert str(calls[2]) in message
    assert message in run.log
    assert len(run.losses) == 2
    assert (run.folder / "last_checkpoint").read_text() == "model_0000001.pth"
    assert not (run.folder / "model_0000002.pth").exists()


def test_error_in_the_forward_pass_names_the_batch(run, monkeypatch):
    def broken(*_):
        raise FloatingPointError("a predicted proposal is not finite")

    monkeypatch.setattr(Detector, "forward", broken)
    with pytest.raises(
        FloatingPointError, match=r"proposal is not finite; iteration 0, image ids of the batch: \[\d+, "
    ):
        run(*NO_TEST)


def test_corrupt_training_image_is_replaced(run, datasets_root, tmp_path, caplog):
    shapes = datasets_root / "shapes"
    images = sorted((shapes / "val").iterdir())
    for image in images:
        (tmp_path / image.name).write_bytes(b"" if image == images[0] else image.read_bytes())
    flags = ["--dataset-json", str(shapes / "annotations" / "instances_val.json"), "--image-root", str(tmp_path)]
    run(*flags, "SOLVER.MAX_ITER", "3")
    assert f"{images[0].name} (0 bytes)" in run.log
    assert len(run.losses) == 3


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["DATASETS.TRAIN", "('nowhere',)"], ValueError, "unknown dataset 'nowhere'"),
        (["DATASETS.TRAIN", "('coco_2017_train',)"], FileNotFoundError, "DETECTRON2_DATASETS"),
        (["DATASETS.TRAIN", "('shapes_train', 'shapes_val')"], ValueError, "DATASETS.TRAIN names 2 datasets"),
        (["DATASETS.TRAIN", "()"], ValueError, "DATASETS.TRAIN is empty"),
        (["MODEL.ROI_HEADS.NUM_CLASSES", "80"], ValueError, "has 4 categories, but MODEL.ROI_HEADS.NUM_CLASSES is 80"),
        (["MODEL.WEIGHTS", "missing.pth"], FileNotFoundError, "missing.pth"),
        (["MODEL.DEVICE", "tpu"], ValueError, "MODEL.DEVICE"),
        (["--num-gpus", "99"], ValueError, "--num-gpus 99"),
        (["--precision", "fp16"], ValueError, "fp16 needs a GPU"),
        (["--accumulate", "5"], ValueError, "--accumulate 5"),
        (["--num-machines", "2"], ValueError, "--dist-url tcp://"),
        (["--eval-only", "DATASETS.TEST", "()"], ValueError, "DATASETS.TEST is empty"),
    ],
)
def test_bad_input(run, arguments, error, message):
    device = [] if "tpu" in arguments else ["MODEL.DEVICE", "cpu"]
    with pytest.raises(error) as raised:
        run(*arguments, *device)
    assert message in str(raised.value)
    assert not list(run.folder.glob("*.pth"))


def test_unwritable_output(run):
    run.folder.parent.mkdir(exist_ok=True)
    run.folder.write_text("a file where the folder should be")
    with pytest.raises(OSError, match=r"OUTPUT_DIR .* cannot be written to"):
        run()


def test_cpu_instead_of_a_missing_gpu(run, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    run("MODEL.DEVICE", "cuda", "SOLVER.AMP.ENABLED", "True", "SOLVER.MAX_ITER", "1", *NO_TEST)
    assert "no GPU is available: running on the CPU" in run.log
    assert "computing in fp32" in run.log


def test_bf16(run):
    run("--precision", "bf16", "SOLVER.MAX_ITER", "2")
    assert all(math.isfinite(losses["total_loss"]) for losses in run.losses)


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
    assert len(logging.getLogger("hiera_det").handlers) == 2
