"""An interrupted run, resumed, is the uninterrupted run: losses and weights bit for bit."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest
import torch

from hiera_det.hosts.torchvision.detector import Detector


def assert_same(run, trained) -> None:
    assert run.losses == trained.losses
    ours, theirs = run.checkpoint(), trained.checkpoint()
    assert ours["iteration"] == theirs["iteration"] == 5
    assert ours["model"].keys() == theirs["model"].keys()
    for name, value in ours["model"].items():
        assert torch.equal(value, theirs["model"][name]), name


def stop_at(process: subprocess.Popen, run, iterations: int, signum: int) -> int:
    """Send a signal once that many iterations are recorded; the exit code."""
    deadline = time.monotonic() + 120
    while len(run.records) < iterations:
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.01)
    process.send_signal(signum)
    return process.wait(timeout=60)


def test_stopped_after_three_iterations(run, trained):
    run("SOLVER.MAX_ITER", "6", "SOLVER.CHECKPOINT_PERIOD", "2", "DATASETS.TEST", "()")
    (run.folder / "last_checkpoint").write_text("model_0000003.pth")
    # The record goes on past the checkpoint and ends in half a line, as after a kill.
    with (run.folder / "metrics.json").open("a") as file:
        file.write('{"iteration": 6, "total_lo')
    # Workers where there were none; half a checkpoint left behind.
    (run.folder / "tmp.model_0000005.pth").write_bytes(b"half")
    run("--resume", "DATALOADER.NUM_WORKERS", "1")
    assert_same(run, trained)
    assert "tmp.model_0000005.pth" not in {path.name for path in run.folder.iterdir()}
    assert "resuming from" in run.log


def test_accumulation_over_a_resume(run, new_run):
    straight = new_run()
    options = ["DATASETS.TEST", "()", "SOLVER.IMS_PER_BATCH", "4", "SOLVER.CHECKPOINT_PERIOD", "2"]
    straight("--accumulate", "2", *options, "SOLVER.MAX_ITER", "4")
    run("--accumulate", "2", *options, "SOLVER.MAX_ITER", "4")
    (run.folder / "last_checkpoint").write_text("model_0000001.pth")
    run("--resume", "--accumulate", "2", *options, "SOLVER.MAX_ITER", "4")
    assert run.losses == straight.losses
    # Another split of the same images: not the same random numbers, but the same iterations.
    (run.folder / "last_checkpoint").write_text("model_0000001.pth")
    run("--resume", "--accumulate", "4", *options, "SOLVER.MAX_ITER", "4")
    assert len(run.losses) == 4
    assert run.losses[:2] == straight.losses[:2]


def test_killed(run, trained, environment):
    options = ["SOLVER.CHECKPOINT_PERIOD", "2", "SOLVER.MAX_ITER", "6"]
    # Runs on its own schedule: what the kill hits, be it a step or a checkpoint's writing, is not known.
    process = subprocess.Popen(run.command(*options), env=environment, stderr=subprocess.PIPE, text=True)
    assert stop_at(process, run, 3, signal.SIGKILL) == -signal.SIGKILL
    run("--resume", *options)
    assert "resuming from" in run.log
    assert_same(run, trained)


def test_terminated(run, environment):
    options = ["SOLVER.CHECKPOINT_PERIOD", "100"]
    process = subprocess.Popen(run.command("SOLVER.MAX_ITER", "1000", *options), env=environment)
    assert stop_at(process, run, 2, signal.SIGTERM) == 128 + signal.SIGTERM
    iteration = len(run.losses) - 1
    assert (run.folder / "last_checkpoint").read_text() == f"model_{iteration:07d}.pth"
    assert run.checkpoint(f"model_{iteration:07d}.pth")["iteration"] == iteration
    assert f"stopped by SIGTERM after iteration {iteration}" in run.log


@pytest.fixture
def terminated_in_evaluation(monkeypatch):
    """The first image that is evaluated brings a SIGTERM to this process."""
    forward, handler = Detector.forward, signal.getsignal(signal.SIGTERM)

    def terminating(self, images, targets=None, output_sizes=None):
        if not self.training and signal.getsignal(signal.SIGTERM) is not handler:
            os.kill(os.getpid(), signal.SIGTERM)
        return forward(self, images, targets, output_sizes)

    monkeypatch.setattr(Detector, "forward", terminating)
    yield
    assert signal.getsignal(signal.SIGTERM) is handler


@pytest.mark.usefixtures("terminated_in_evaluation")
def test_terminated_in_an_evaluation(run):
    with pytest.raises(SystemExit) as stop:
        run("TEST.EVAL_PERIOD", "2")
    assert stop.value.code == 128 + signal.SIGTERM
    assert "evaluation abandoned" in run.log
    assert run.checkpoint("model_0000002.pth")["iteration"] == 2  # the next iteration was the last
    assert not any("bbox/AP" in record for record in run.records)


@pytest.mark.usefixtures("terminated_in_evaluation")
def test_evaluation_alone_terminated(run, trained):
    with pytest.raises(SystemExit) as stop:
        run("--eval-only", "MODEL.WEIGHTS", str(trained.folder / "model_final.pth"))
    assert stop.value.code == 128 + signal.SIGTERM
    assert not (run.folder / "inference").exists()


def test_drawn_seed_is_kept(run):
    options = ["SEED", "-1", "DATASETS.TEST", "()", "SOLVER.CHECKPOINT_PERIOD", "2", "SOLVER.MAX_ITER", "3"]
    run(*options)
    losses, seed = run.losses, run.checkpoint()["seed"]
    assert f"drew {seed}" in run.log
    (run.folder / "last_checkpoint").write_text("model_0000001.pth")
    run("--resume", *options)
    assert run.losses == losses
    assert run.checkpoint()["seed"] == seed


def test_finished_run_resumed(run):
    run("SOLVER.MAX_ITER", "2", "DATASETS.TEST", "()")
    run("--resume", "SOLVER.MAX_ITER", "2")  # nothing to train, but the evaluation
    assert len(run.losses) == 2
    assert (run.folder / "inference" / "metrics.json").is_file()
    run("--resume", "SOLVER.MAX_ITER", "3", "DATASETS.TEST", "()")  # longer
    assert len(run.losses) == 3
    assert run.checkpoint()["iteration"] == 2


def test_new_run_in_an_old_folder(run):
    run("SOLVER.MAX_ITER", "3", "DATASETS.TEST", "()")
    run("SOLVER.MAX_ITER", "1", "DATASETS.TEST", "()")
    assert len(run.losses) == 1
    assert "starting anew" in run.log
