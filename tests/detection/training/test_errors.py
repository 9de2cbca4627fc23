"""What is at fault is said; nothing half-done is left."""

from __future__ import annotations

import json
import math
import os
import runpy
import subprocess
import sys
from typing import Any

import pytest

from hiera_det.detection.model.detector import Detector

NO_TEST = ["DATASETS.TEST", "()"]


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
    def broken(*_, **__):
        raise FloatingPointError("a predicted proposal is not finite")

    monkeypatch.setattr(Detector, "forward", broken)
    with pytest.raises(FloatingPointError, match=r"proposal is not finite; iteration 0, samples of the batch: \[\d+, "):
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


def test_read_only_output(run):
    run.folder.mkdir(parents=True)
    run.folder.chmod(0o555)
    if os.access(run.folder, os.W_OK):
        pytest.skip("this user, such as root, writes anywhere")
    with pytest.raises(OSError, match=r"OUTPUT_DIR .* cannot be written to \(Permission denied\)"):
        run()


@pytest.fixture
def as_a_script(run, monkeypatch):
    """Runs tools/train_net.py as the command line does; what it exits with."""

    def ended(*arguments: str) -> Any:
        _, script, *rest = run.command(*arguments)
        monkeypatch.setattr(sys, "argv", [script, *rest])
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(script, run_name="__main__")
        return stop.value.code

    return ended


def test_user_errors_are_one_line(as_a_script, run, capfd):
    assert as_a_script("MODEL.WEIGHTS", "missing.pth") == 2
    captured = capfd.readouterr().err
    assert captured.splitlines()[-1].startswith("error: no weights file at missing.pth")
    assert "Traceback" not in captured
    assert "FileNotFoundError: no weights file at missing.pth" in run.log
    assert "Traceback" in run.log


def test_unknown_key_is_one_line(as_a_script, capfd):
    assert as_a_script("SOLVER.MAX_ITERS", "3") == 2
    backend, line = capfd.readouterr().err.splitlines()
    assert backend == "backend: torchvision"
    assert line.startswith("error: override on the command line: Non-existent")


def test_not_finite_loss_is_one_line(as_a_script, monkeypatch, capfd):
    def broken(*_, **__):
        raise FloatingPointError("a predicted proposal is not finite")

    monkeypatch.setattr(Detector, "forward", broken)
    assert as_a_script(*NO_TEST) == 1
    captured = capfd.readouterr().err
    assert captured.splitlines()[-1].startswith("error: a predicted proposal is not finite; iteration 0")
    assert "Traceback" not in captured


def test_an_error_in_a_worker_ends_the_process(run, datasets_root, environment, tmp_path):
    """The workers ignore SIGTERM, by which Python would end them."""
    shapes = datasets_root / "shapes"
    for image in (shapes / "train").iterdir():
        (tmp_path / image.name).write_bytes(image.read_bytes()[:-200])  # the head is there
    flags = ["--dataset-json", str(shapes / "annotations" / "instances_train.json"), "--image-root", str(tmp_path)]
    command = run.command(*flags, "DATALOADER.NUM_WORKERS", "2")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "cannot read image" in done.stderr


def test_classes_that_no_checkpoint_could_hold_are_refused_before_training(run, datasets_root, tmp_path):
    folder = datasets_root / "shapes"
    content = json.loads((folder / "annotations" / "instances_train.json").read_text())
    for changes, message in (({"name": "x" * 201}, "has 201 characters"), ({"name": "\ud800"}, "no valid text")):
        content["categories"][0].update(changes)
        (tmp_path / "long.json").write_text(json.dumps(content))
        with pytest.raises(ValueError, match=message):
            run("--dataset-json", str(tmp_path / "long.json"), "--image-root", str(folder / "train"))
    assert not list(run.folder.glob("*.pth"))
