"""--eval-only, and that the classes of data and weights are the same."""

from __future__ import annotations

import json

import pytest
import torch

from hiera_det.config import load_config

NO_TEST = ["DATASETS.TEST", "()"]


def test_eval_only_repeats_the_final_evaluation(run, trained):
    run("--eval-only", "MODEL.WEIGHTS", str(trained.folder / "model_final.pth"), "DATASETS.TRAIN", "('missing',)")
    ours, theirs = (json.loads((it.folder / "inference" / "metrics.json").read_text()) for it in (run, trained))
    assert ours == theirs
    assert not (run.folder / "metrics.json").exists()


def test_evaluation_is_in_fp32(run, new_run, trained):
    full = new_run()
    for it, precision in ((run, "bf16"), (full, "32")):
        it("--eval-only", "--precision", precision, "MODEL.WEIGHTS", str(trained.folder / "model_final.pth"))
    ours, theirs = ((it.folder / "inference" / "coco_instances_results.json").read_text() for it in (run, full))
    assert len(ours) > 2
    assert ours == theirs


def test_eval_only_leaves_the_runs_config(run):
    run("SOLVER.MAX_ITER", "1", *NO_TEST)
    weights = str(run.folder / "model_final.pth")
    run("--eval-only", "MODEL.WEIGHTS", weights, "DATASETS.TRAIN", "('elsewhere',)")
    assert load_config(run.folder / "config.yaml").MODEL.WEIGHTS == ""
    evaluated = load_config(run.folder / "inference" / "config.yaml")
    assert (weights, ("elsewhere",)) == (evaluated.MODEL.WEIGHTS, evaluated.DATASETS.TRAIN)


def test_only_a_whole_detector_is_evaluated(run, tmp_path):
    with pytest.raises(ValueError, match=r"MODEL\.WEIGHTS is empty; name a trained checkpoint"):
        run("--eval-only")
    torch.save({"model_state": {}}, tmp_path / "mae.pth")
    with pytest.raises(ValueError, match=r"mae\.pth holds no trained detector"):
        run("--eval-only", "MODEL.WEIGHTS", str(tmp_path / "mae.pth"))
    assert not (run.folder / "inference").exists()


@pytest.fixture
def reordered(datasets_root, tmp_path) -> list[str]:
    """Flags for the test set with two of its classes changed over."""
    shapes = datasets_root / "shapes"
    truth = json.loads((shapes / "annotations" / "instances_val.json").read_text())
    first, second = truth["categories"][:2]
    first["name"], second["name"] = second["name"], first["name"]
    (tmp_path / "reordered.json").write_text(json.dumps(truth))
    return ["--dataset-json", str(tmp_path / "reordered.json"), "--image-root", str(shapes / "val")]


DIFFERENT = r"different classes.* label 1: 'circle' and 'square'; label 2: 'square' and 'circle'\."


def test_classes_of_training_and_test_set(run, reordered, datasets_root):
    shapes = datasets_root / "shapes"
    train = [str(shapes / "annotations" / "instances_train.json"), str(shapes / "train")]
    flags = [word for pair in zip(reordered[::2], train, reordered[1::2], strict=True) for word in pair]
    with pytest.raises(ValueError, match=f"instances_train.json and .*reordered.json have {DIFFERENT}"):
        run(*flags)


def test_classes_of_a_checkpoint(run, reordered, trained, tmp_path):
    checkpoint = trained.folder / "model_final.pth"
    with pytest.raises(ValueError, match=f"model_final.pth and .*reordered.json have {DIFFERENT}"):
        run("--eval-only", *reordered, "MODEL.WEIGHTS", str(checkpoint))
    torch.save({"model": trained.checkpoint()["model"]}, tmp_path / "unnamed.pth")  # as detectron2 writes it
    run("--eval-only", *reordered, "MODEL.WEIGHTS", str(tmp_path / "unnamed.pth"))
    assert (run.folder / "inference" / "metrics.json").is_file()
