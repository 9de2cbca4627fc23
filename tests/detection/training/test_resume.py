"""An interrupted run, resumed, is the uninterrupted run: losses and weights bit for bit."""

from __future__ import annotations

import os
import signal
import subprocess
import textwrap
import time

import pytest
import torch

from hiera_det.detection.model.detector import Detector
from hiera_det.utils.files import temporary_path


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
    # Workers where there were none; half a checkpoint left behind, and what a user calls similarly.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "getpid", lambda: 2**30)  # no system gives so large a number
        leftover = temporary_path(run.folder / "model_0000005.pth")
    leftover.write_bytes(b"half")
    (run.folder / "tmp.mine").mkdir()
    run("--resume", "DATALOADER.NUM_WORKERS", "1")
    assert_same(run, trained)
    assert not leftover.exists() and (run.folder / "tmp.mine").exists()
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
    """By another process, at whatever moment it then is."""
    # Times a power of two: the learning rates, functions of iteration / MAX_ITER, are the same to the last bit.
    many = str(6 * 2**12)
    command = run.command("SOLVER.CHECKPOINT_PERIOD", "2", "SOLVER.MAX_ITER", many)
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    assert stop_at(process, run, 3, signal.SIGKILL) == -signal.SIGKILL
    if len(run.records) >= 6:  # that late it is past what the other run has
        (run.folder / "last_checkpoint").write_text("model_0000003.pth")
    run("--resume", "SOLVER.CHECKPOINT_PERIOD", "2", "SOLVER.MAX_ITER", "6")
    assert "resuming from" in run.log
    assert_same(run, trained)


# Each redefines a function so that it kills the process, and says which checkpoint there is then.
MOMENTS = {
    "the first iteration's end": (
        None,
        """
        from hiera_det.engine.metrics import MetricsFile
        write = MetricsFile.write
        def killing(self, *args, **kwargs):
            write(self, *args, **kwargs)
            kill()
        MetricsFile.write = killing
        """,
    ),
    "the second checkpoint half-written": (
        "model_0000001.pth",
        """
        save = torch.save
        def killing(checkpoint, file):
            if checkpoint["iteration"] == 3:
                file.write(b"PK half")
                file.flush()
                kill()
            save(checkpoint, file)
        torch.save = killing
        """,
    ),
    "the second checkpoint written, not yet named": (
        "model_0000001.pth",
        """
        replace = pathlib.Path.replace
        def killing(self, target):
            if target.name == "last_checkpoint" and self.read_text() == "model_0000003.pth":
                kill()
            return replace(self, target)
        pathlib.Path.replace = killing
        """,
    ),
    "the final evaluation": (
        "model_final.pth",
        """
        from hiera_det.coco.evaluator import CocoEvaluator
        CocoEvaluator.evaluate = lambda *_: kill()
        """,
    ),
}
SCRIPT = """
import os, pathlib, runpy, signal, sys, torch
def kill():
    os.kill(os.getpid(), signal.SIGKILL)
{moment}
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at(run, trained, environment, moment):
    left, code = MOMENTS[moment]
    options = ["SOLVER.CHECKPOINT_PERIOD", "2"]
    python, *command = run.command(*options)
    script = SCRIPT.format(moment=textwrap.dedent(code))
    finished = subprocess.run([python, "-c", script, *command], env=environment, capture_output=True, text=True)
    assert finished.returncode == -signal.SIGKILL, finished.stderr
    pointer = run.folder / "last_checkpoint"
    assert (pointer.read_text() if pointer.exists() else None) == left
    for checkpoint in run.folder.glob("model_*.pth"):
        run.checkpoint(checkpoint.name)  # whole
    run("--resume", *options)
    assert_same(run, trained)
    assert not list(run.folder.glob("tmp.*"))
    assert (run.folder / "inference" / "metrics.json").is_file()


def test_changed_rates_take_effect(run, new_run):
    """A resumed run follows the config, not the checkpoint, in all that the optimizer is built with."""
    options = ["DATASETS.TEST", "()", "SOLVER.CHECKPOINT_PERIOD", "2", "SOLVER.MAX_ITER", "3"]
    changed = [*options, "SOLVER.BASE_LR", "0.02", "SOLVER.WEIGHT_DECAY", "0.3", "MODEL.HIERA.LAYER_DECAY", "0.25"]
    options += ["SOLVER.BASE_LR", "0.01", "SOLVER.WEIGHT_DECAY", "0.1", "MODEL.HIERA.LAYER_DECAY", "0.5"]
    straight = new_run()
    straight(*changed)
    run(*options)
    (run.folder / "last_checkpoint").write_text("model_0000001.pth")
    run("--resume", *changed)
    assert [record["lr"] for record in run.records[:2]] == pytest.approx([0.00001, 0.005005])
    assert run.records[2]["lr"] == straight.records[2]["lr"] == pytest.approx(0.02)
    ours, theirs = (it.checkpoint() for it in (run, straight))
    assert ours["lr_schedulers"] == theirs["lr_schedulers"]
    groups = [checkpoint["optimizer_states"][0]["param_groups"] for checkpoint in (ours, theirs)]
    assert groups[0] == groups[1]


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

    def terminating(self, images, targets=None, output_sizes=None, **options):
        if not self.training and signal.getsignal(signal.SIGTERM) is not handler:
            os.kill(os.getpid(), signal.SIGTERM)
        return forward(self, images, targets, output_sizes, **options)

    monkeypatch.setattr(Detector, "forward", terminating)
    yield
    assert signal.getsignal(signal.SIGTERM) is handler


@pytest.mark.usefixtures("terminated_in_evaluation")
def test_terminated_in_an_evaluation(run):
    with pytest.raises(SystemExit) as stop:
        run("TEST.EVAL_PERIOD", "2")
    assert stop.value.code == 128 + signal.SIGTERM
    assert "evaluation abandoned" in run.log
    assert (run.folder / "last_checkpoint").read_text() == "model_0000001.pth"  # the evaluation is still to be done
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
    run("--resume", "SOLVER.MAX_ITER", "2", "DATASETS.TEST", "('shapes_val',)")  # nothing to train, but to evaluate
    assert len(run.losses) == 2 and "it is finished" in run.log
    assert (run.folder / "inference" / "metrics.json").is_file() and "bbox/AP" in run.records[-1]
    run("--resume", "SOLVER.MAX_ITER", "3", "DATASETS.TEST", "()")  # longer
    assert len(run.losses) == 3
    assert run.checkpoint()["iteration"] == 2


def test_new_run_in_an_old_folder(run):
    run("SOLVER.MAX_ITER", "3", "DATASETS.TEST", "()")
    run("SOLVER.MAX_ITER", "1", "DATASETS.TEST", "()")
    assert len(run.losses) == 1
    assert "starting anew" in run.log
