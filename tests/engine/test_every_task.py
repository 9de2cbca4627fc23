"""What the engine promises holds for every task."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import contextmanager, suppress

import pytest
import torch

import hiera_det

SHORT = ["SOLVER.MAX_ITER", "4", "SOLVER.CHECKPOINT_PERIOD", "2"]


def results(run) -> str:
    """The detections or actions that an evaluation found."""
    (path,) = [path for path in (run.folder / "inference").iterdir() if "results" in path.name]
    return path.read_text()


def weights(run) -> list[str]:
    return ["MODEL.WEIGHTS", str(run.folder / "model_final.pth")]


@contextmanager
def in_a_terminal(command, environment):
    """A process group that takes Ctrl-C, also where these tests run in the background; nothing of it is left behind."""
    process = subprocess.Popen(
        command,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_to_the_process_group_leaves_a_checkpoint(task_run, environment, number):
    """As a scheduler or a terminal sends it: to the main process and to its loaders' workers."""
    command = task_run.command("SOLVER.MAX_ITER", "100000", "DATALOADER.NUM_WORKERS", "2")
    with in_a_terminal(command, environment) as process:
        deadline = time.monotonic() + 120
        while len(task_run.records) < 2:
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()
            time.sleep(0.01)
        os.killpg(process.pid, number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number, errors
    iteration = len(task_run.losses) - 1
    assert (task_run.folder / "last_checkpoint").read_text() == f"model_{iteration:07d}.pth"
    assert task_run.checkpoint(f"model_{iteration:07d}.pth")["iteration"] == iteration
    assert f"stopped by {number.name} after iteration {iteration}" in errors
    assert "Traceback" not in errors and "DataLoader worker" not in errors


def test_exact_resume(task_run, task_trained):
    task_run("SOLVER.MAX_ITER", "4", "SOLVER.CHECKPOINT_PERIOD", "2", "DATALOADER.NUM_WORKERS", "0")
    assert task_run.losses == task_trained.losses
    (task_run.folder / "last_checkpoint").write_text("model_0000001.pth")
    task_run("--resume", *SHORT, "DATALOADER.NUM_WORKERS", "1")
    assert task_run.losses == task_trained.losses
    assert results(task_run) == results(task_trained)
    ours, theirs = (run.checkpoint()["model"] for run in (task_run, task_trained))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_another_split_of_an_iteration_is_resumed_at_the_same_iteration(task_run):
    options = ["SOLVER.IMS_PER_BATCH", "4", "SOLVER.MAX_ITER", "3", "SOLVER.CHECKPOINT_PERIOD", "2"]
    task_run("--accumulate", "2", *options)
    before = task_run.losses
    (task_run.folder / "last_checkpoint").write_text("model_0000001.pth")
    task_run("--resume", "--accumulate", "4", *options, "TEST.EVAL_PERIOD", "3")
    assert len(task_run.losses) == 3 and task_run.losses[:2] == before[:2]
    assert task_run.log.count("evaluat") >= 2  # after the third iteration, as Lightning counts them


def test_evaluation_is_in_fp32(new_task_run, task_trained):
    full, mixed = new_task_run(), new_task_run()
    for run, precision in ((full, "32"), (mixed, "bf16")):
        run("--eval-only", "--precision", precision, *weights(task_trained))
    assert len(results(full)) > 2
    assert results(mixed) == results(full)


@pytest.mark.parametrize("flags", [[], ["--eval-only"]])
def test_every_rank_has_something_to_evaluate(task_run, task_trained, monkeypatch, flags):
    """Every rank says so before it waits for the others; this is one of six under torchrun."""
    torchrun = {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "600", "LOCAL_WORLD_SIZE": "600", "RANK": "0"}
    for name, value in (torchrun | {"LOCAL_RANK": "0"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda *_, **__: pytest.fail("it waits for others"))
    with pytest.raises(ValueError, match=r"the test set has \d+ items for 600 processes.*start fewer"):
        task_run(*flags, *weights(task_trained), "SOLVER.IMS_PER_BATCH", "600")
    assert not (task_run.folder / "metrics.json").exists()


@pytest.fixture(params=["evaluation", "prediction"])
def load(request, task_run, task_trained):
    """Loads a checkpoint for evaluation, or for prediction, by its own config."""

    def for_prediction(path):
        return hiera_det.load(path)

    def for_evaluation(path):
        task_run("--eval-only", "MODEL.WEIGHTS", path)
        assert results(task_run) == results(task_trained)

    if request.param == "prediction" and task_trained.checkpoint()["task"] == "pretraining":
        pytest.skip("predicts nothing")
    return {"evaluation": for_evaluation, "prediction": for_prediction}[request.param]


def test_weights_that_are_not_finite_are_refused(load, task_trained, tmp_path):
    checkpoint = task_trained.checkpoint()
    name = next(name for name in checkpoint["model"] if name.endswith("blocks.0.mlp.fc1.bias"))
    checkpoint["model"][name][0] = torch.nan
    torch.save(checkpoint, tmp_path / "nan.pth")
    with pytest.raises(ValueError, match=rf"1 tensors are no weights, .*\n  {name}: NaN or infinite"):
        load(str(tmp_path / "nan.pth"))


@pytest.mark.parametrize("wrapper", ["module.", "model."])
def test_names_of_wrapped_models_are_taken(load, task_trained, tmp_path, wrapper):
    """As DistributedDataParallel or Lightning write them."""
    checkpoint = task_trained.checkpoint()
    checkpoint["model"] = {wrapper + name: value for name, value in checkpoint["model"].items()}
    torch.save(checkpoint, tmp_path / "wrapped.pth")
    load(str(tmp_path / "wrapped.pth"))


def test_another_model_is_named_without_keys_of_other_tasks(task_run, task_trained):
    with pytest.raises(ValueError, match=r"is of another model than this config builds") as error:
        task_run("--eval-only", *weights(task_trained), "MODEL.HIERA.EMBED_DIM", "16")
    assert "backbone" in str(error.value) and "NUM_CLASSES" not in str(error.value)


def test_a_checkpoint_says_what_it_is(task_trained):
    checkpoint = task_trained.checkpoint()
    assert checkpoint["iteration"] == 3 and checkpoint["seed"] == 7
    assert ("class_names" in checkpoint) == (checkpoint["task"] != "pretraining") and "state_dict" not in checkpoint


def test_a_config_that_0_1_0_left_is_read(task_run, task_trained, caplog):
    if task_trained.checkpoint()["task"] == "pretraining":
        pytest.skip("version 0.1.0 had none")
    config = (task_trained.folder / "config.yaml").read_text()
    task_run.config = task_run.folder.with_name("0.1.0.yaml")
    task_run.config.write_text(config.replace("DATASETS:\n", "DATASETS:\n  TEST_FEATURES: ''\n  TRAIN_FEATURES: ''\n"))
    task_run("--eval-only", *weights(task_trained))
    assert results(task_run) == results(task_trained)
    assert "Deprecated config key (ignoring): DATASETS.TRAIN_FEATURES" in caplog.text
