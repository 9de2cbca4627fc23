"""A run in miniature: tiny model, tiny mini-set, through train_net.py."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch

from hiera_det import build_hiera
from hiera_det.config import load_config
from hiera_det.projects.ava.config import defaults
from hiera_det.projects.ava.evaluation import evaluate
from hiera_det.projects.ava.formats import read_detections
from hiera_det.projects.ava.task import ActionTask


def metrics(run) -> dict:
    return json.loads((run.folder / "inference" / "metrics.json").read_text())


def results(run) -> str:
    return (run.folder / "inference" / "results.csv").read_text()


def test_what_a_run_leaves(trained):
    assert {"protocol": "slowfast"}.items() <= metrics(trained).items()
    assert set(metrics(trained)["ap"]) == {"stand", "crouch", "walk left", "walk right", "jump", "wave"}
    assert (trained.folder / "inference" / "ap.png").stat().st_size > 1000
    log = (trained.folder / "log.txt").read_text()
    assert "mAP" in log and "walk left" in log
    checkpoint = torch.load(trained.folder / "model_final.pth", weights_only=True)
    assert checkpoint["class_names"][0] == "stand" and checkpoint["category_ids"] == [1, 2, 3, 4, 5, 6]
    assert len(trained.losses) == 4


def test_the_file_gives_the_map_of_the_arrays(trained, root):
    data = ActionTask(load_config(trained.folder / "config.yaml", [], defaults()))
    detections = read_detections(trained.folder / "inference" / "results.csv")
    result = evaluate(data.ground_truth, detections, data.label_map)
    assert result.mean_ap == pytest.approx(metrics(trained)["mAP"], abs=1e-6)
    persons = sum(len(data.test_clips.keyframe(i).boxes) for i in range(len(data.test_clips)))
    assert len(detections) == 6 * persons


def test_evaluation_alone_and_workers(trained, new_run):
    for workers in ("0", "2"):
        run = new_run()
        weights = ["MODEL.WEIGHTS", str(trained.folder / "model_final.pth")]
        run("--eval-only", *weights, "DATALOADER.NUM_WORKERS", workers)
        assert results(run) == results(trained)


def test_videos_give_nearly_what_frames_give(trained, new_run):
    run = new_run()
    run("--eval-only", "MODEL.WEIGHTS", str(trained.folder / "model_final.pth"), "DATASETS.SOURCE", "videos")
    frames, videos = (
        [float(line.rsplit(",", 1)[1]) for line in text.splitlines()] for text in (results(trained), results(run))
    )
    assert videos == pytest.approx(frames, abs=0.02) and videos != frames


def test_exact_resume(trained, new_run):
    run = new_run()
    run("SOLVER.MAX_ITER", "4")
    assert run.losses == trained.losses
    checkpoint = run.folder / "model_0000001.pth"
    (run.folder / "last_checkpoint").write_text(checkpoint.name)
    run("--resume")
    assert run.losses == trained.losses
    assert results(run) == results(trained)


def run_in_two_processes(run, *words: str) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    job = [*command, *run.command(*words)[1:]]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(job, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_evaluation_by_two_processes_equals_that_by_one(trained, new_run):
    run = new_run()
    run_in_two_processes(run, "--eval-only", "MODEL.WEIGHTS", str(trained.folder / "model_final.pth"))
    assert results(run) == results(trained) and metrics(run) == metrics(trained)


def test_training_by_two_processes_equals_that_by_one(trained, new_run):
    run = new_run()
    run_in_two_processes(run)
    ours, theirs = ([losses["total_loss"] for losses in it.losses] for it in (run, trained))
    assert ours == pytest.approx(theirs, rel=1e-5)
    ours, theirs = (torch.load(r.folder / "model_final.pth", weights_only=True)["model"] for r in (run, trained))
    for key in theirs:
        torch.testing.assert_close(ours[key], theirs[key], rtol=1e-4, atol=1e-5, msg=key)


def test_a_broken_clip_is_named_and_the_run_goes_on(trained, new_run, root, tmp_path):
    broken = tmp_path / "mini"
    shutil.copytree(root, broken)
    video = read_detections(trained.folder / "inference" / "results.csv").videos[1]
    for frame in (broken / "frames" / video).glob("*.jpg"):
        frame.unlink()
    weights = ["MODEL.WEIGHTS", str(trained.folder / "model_final.pth")]
    run = new_run(broken)
    run("--eval-only", *weights)
    assert f"not evaluated: clip of video {video} at second" in (run.folder / "log.txt").read_text()
    assert video not in results(run) and len(results(run)) > 0
    with pytest.raises(SystemExit) as stop:
        run("--eval-only", *weights, "TEST.STRICT", "True")
    assert stop.value.code == 1


def test_the_originals_video_weights(new_run, tmp_path):
    state = build_hiera("hiera_base_16x224", embed_dim=8, num_heads=1, stages=(1, 1, 1, 1)).state_dict()
    torch.save({"model_state": state}, tmp_path / "hiera_base_16x224.pth")
    run = new_run()
    run("MODEL.WEIGHTS", str(tmp_path / "hiera_base_16x224.pth"), "SOLVER.MAX_ITER", "1", "SOLVER.BASE_LR", "1e-12")
    saved = torch.load(run.folder / "model_final.pth", weights_only=True)["model"]
    for key in (key for key in state if key.startswith("blocks.") and not key.startswith("blocks.3")):
        torch.testing.assert_close(saved[f"backbone.{key}"], state[key], msg=key)
    log = (run.folder / "log.txt").read_text()
    assert "format original" in log and "dropped, the classifier: " in log


def test_what_is_refused(trained, new_run, root, tmp_path):
    run = new_run()
    with pytest.raises(ValueError, match=r"TEST\.PROTOCOL is 'imagenet'; expected one of slowfast"):
        run("TEST.PROTOCOL", "imagenet")
    with pytest.raises(ValueError, match=r"DATASETS\.SOURCE is 'tapes'"):
        run("DATASETS.SOURCE", "tapes")
    with pytest.raises(OSError, match="nowhere"):
        run("DATASETS.TRAIN", "annotations/nowhere.csv")
    with pytest.raises(ValueError, match=r"Non-existent key: MODEL\.MASK_ON"):
        run("MODEL.MASK_ON", "True")
    with pytest.raises(ValueError, match=r"MODEL\.WEIGHTS is empty"):
        run("--eval-only")
    other = tmp_path / "other.pbtxt"
    text = (root / "annotations" / "actions.pbtxt").read_text()
    other.write_text(text.replace("walk left", "stroll"))
    with pytest.raises(ValueError, match=r"6 actions \(stand, crouch, walk left, .* map 6 \(stand, crouch, str"):
        run("--eval-only", "MODEL.WEIGHTS", str(trained.folder / "model_final.pth"), "DATASETS.LABEL_MAP", str(other))
