"""What a resumed run takes from its checkpoint, from its config file and from the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch
import yaml

from hiera_det.engine.checkpoint import AtomicCheckpointIO
from hiera_det.engine.evaluation import Evaluation
from hiera_det.engine.lock import LOCK, locked
from hiera_det.engine.metrics import MetricsFile
from hiera_det.utils.text import MAX_BYTES

SHORT = ["SOLVER.MAX_ITER", "4", "SOLVER.CHECKPOINT_PERIOD", "2"]
TIMES = {"time", "data_time", "eta_seconds"}


def lines(run) -> list[dict]:
    """Of metrics.json, but for times."""
    return [{name: value for name, value in record.items() if name not in TIMES} for record in run.records]


def files(run) -> dict[str, bytes]:
    return {str(path.relative_to(run.folder)): path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}


def with_keys(run, tmp_path, **values):
    """The run's config file with other values of keys, written with "__" for their dots."""
    content = yaml.safe_load(run.config.read_text())
    for key, value in values.items():
        node = content
        *nodes, last = key.split("__")
        for name in nodes:
            node = node.setdefault(name, {})
        node[last] = value
    run.config = tmp_path / "changed.yaml"
    run.config.write_text(yaml.safe_dump(content))


@pytest.fixture
def stopped(task_run):
    """A run of four iterations whose last two are to be done again."""
    task_run(*SHORT)
    (task_run.folder / "last_checkpoint").write_text("model_0000001.pth")
    return task_run


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"MODEL__HIERA__DROP_PATH_RATE": 0.5}, "MODEL.HIERA.DROP_PATH_RATE"),
        ({"SOLVER__WEIGHT_DECAY": 0.5}, "SOLVER.WEIGHT_DECAY"),
        ({"SOLVER__IMS_PER_BATCH": 4}, "SOLVER.IMS_PER_BATCH"),
        ({"SOLVER__BASE_LR": 0.5}, "SOLVER.BASE_LR"),
        ({"MODEL__PIXEL_MEAN": [1.0, 2.0, 3.0]}, "MODEL.PIXEL_MEAN"),
    ],
)
def test_another_config_file_is_refused_and_nothing_changes(stopped, tmp_path, values, key):
    before = files(stopped)
    with_keys(stopped, tmp_path, **values)
    with pytest.raises(ValueError, match=rf"this config is not that of .*model_0000001\.pth(?s:.)*\n  {key} "):
        stopped("--resume", *SHORT)
    assert files(stopped) == before


@pytest.mark.parametrize(
    "words",
    [
        ["MODEL.HIERA.EMBED_DIM", "16"],  # the checkpoint is of another model
        ["SOLVER.MAX_ITER", "1"],  # it is further
        ["MODEL.DEVICE", "tpu"],
        ["LOGGERS", "['nowhere']"],
        ["SOLVER.IMS_PER_BATCH", "3", "--accumulate", "2"],
    ],
)
def test_a_refused_resume_changes_nothing(stopped, words):
    before = files(stopped)
    with pytest.raises(ValueError, match=r"."):
        stopped("--resume", *SHORT, *words)
    assert files(stopped) == before


def test_a_refused_new_run_changes_nothing_in_an_old_folder(stopped):
    before = files(stopped)
    with pytest.raises((ValueError, OSError)):
        stopped(*SHORT, "MODEL.WEIGHTS", "missing.pth")
    assert files(stopped) == before


def test_fewer_iterations_than_the_checkpoint_has(stopped):
    with pytest.raises(ValueError, match=r"SOLVER\.MAX_ITER is 1, but the checkpoint has 2 iterations"):
        stopped("--resume", "SOLVER.MAX_ITER", "1")


def test_what_is_given_holds_and_is_recorded(stopped, caplog):
    stopped("--resume", *SHORT, "SOLVER.WEIGHT_DECAY", "0.25", "SEED", "99")
    config = yaml.safe_load((stopped.folder / "config.yaml").read_text())
    checkpoint = stopped.checkpoint()
    assert config["SOLVER"]["WEIGHT_DECAY"] == checkpoint["config"]["SOLVER"]["WEIGHT_DECAY"] == 0.25
    assert config["SEED"] == checkpoint["config"]["SEED"] == checkpoint["seed"] == 99
    assert {group["weight_decay"] for group in checkpoint["optimizer_states"][0]["param_groups"]} >= {0.25}
    table = next(record.getMessage() for record in caplog.records if "what differs" in record.getMessage())
    assert any(line.split() == ["SEED", "7", "99", "this", "command", "line's"] for line in table.splitlines())


def test_without_one_the_checkpoint_s_value_holds(task_run, task_trained, tmp_path, caplog):
    task_run(*SHORT)
    (task_run.folder / "last_checkpoint").write_text("model_0000001.pth")
    with_keys(task_run, tmp_path, SEED=99, SOLVER__MAX_ITER=400)
    task_run("--resume")
    assert lines(task_run) == lines(task_trained)
    config = yaml.safe_load((task_run.folder / "config.yaml").read_text())
    assert config["SEED"] == task_run.checkpoint()["seed"] == 7 and config["SOLVER"]["MAX_ITER"] == 4
    assert "the checkpoint's" in caplog.text


@pytest.mark.parametrize("period", [1, 2])
def test_the_evaluation_that_a_kill_prevented_is_made_up(task_run, new_task_run, monkeypatch, period):
    options = [*SHORT, "TEST.EVAL_PERIOD", str(period)]
    straight = new_task_run()
    straight(*options)
    with monkeypatch.context() as patch:

        class Killed(BaseException):
            pass

        judged = Evaluation._judge

        def judge(self, trainer, shares):
            if trainer.global_step == 2:
                raise Killed
            return judged(self, trainer, shares)

        patch.setattr(Evaluation, "_judge", judge)
        with pytest.raises(Killed):
            task_run(*options)
    assert len(task_run.records) == 2 and not any("/" in name for name in task_run.records[-1])
    task_run("--resume", *options)
    assert lines(task_run) == lines(straight)
    assert sum(any("/" in name for name in line) for line in lines(task_run)) == 4 // period
    assert "was not finished: doing it now" in task_run.log
    # Done once, it is not done again.
    (task_run.folder / "last_checkpoint").write_text("model_0000001.pth")
    task_run("--resume", *options)
    assert task_run.log.count("was not finished") == 1


def test_a_finished_run_says_so_and_has_its_final_model(task_run):
    task_run(*SHORT)
    (task_run.folder / "last_checkpoint").write_text("model_0000001.pth")
    (task_run.folder / "model_final.pth").unlink()
    task_run("--resume", "SOLVER.MAX_ITER", "2")
    assert "the run has all its 2 iterations already: it is finished" in task_run.log
    assert task_run.checkpoint()["iteration"] == 1 and len(task_run.records) == 2
    assert any("/" in name for name in task_run.records[-1])
    weights = task_run.checkpoint("model_0000001.pth")["model"]
    assert all(torch.equal(value, weights[name]) for name, value in task_run.checkpoint()["model"].items())


def test_a_drawn_seed_is_in_the_config(task_run):
    task_run("SEED", "-1", "SOLVER.MAX_ITER", "1")
    config = yaml.safe_load((task_run.folder / "config.yaml").read_text())
    assert config["SEED"] == task_run.checkpoint()["seed"] >= 0


def test_other_data_under_the_same_names_are_refused(stopped, monkeypatch):
    from hiera_det.detection.task import DetectionTask
    from hiera_det.pretraining.task import PretrainingTask
    from hiera_det.projects.ava.task import ActionTask

    for task in DetectionTask, PretrainingTask, ActionTask:
        sums = task.data_sums

        def changed(self, *, training, sums=sums):
            return {name: ("0" * 64, place) for name, (_, place) in sums(self, training=training).items()}

        monkeypatch.setattr(task, "data_sums", changed)
    before = files(stopped)
    with pytest.raises(ValueError, match="not the data that this config was trained on"):
        stopped("--resume", *SHORT)
    assert files(stopped) == before
    stopped("--resume", *SHORT, "DATASETS.SHA256", "[]")
    config = yaml.safe_load((stopped.folder / "config.yaml").read_text())
    assert {total for _, total in config["DATASETS"]["SHA256"]} == {"0" * 64}


def test_weights_that_are_not_finite_are_not_saved(task_run, monkeypatch):
    from hiera_det.engine.module import TrainingModule

    def spoil(self, *_):
        next(self.model.parameters()).data.view(-1)[0] = torch.inf

    monkeypatch.setattr(TrainingModule, "on_before_zero_grad", spoil)
    with pytest.raises(FloatingPointError) as error:
        task_run("SOLVER.MAX_ITER", "2", "SOLVER.CHECKPOINT_PERIOD", "1")
    assert "not finite" in str(error.value) and "--resume alone would end here again" in str(error.value)
    assert not list(task_run.folder.glob("*.pth")) and not (task_run.folder / "last_checkpoint").exists()


HOLD = """
import sys, time
from hiera_det.engine.lock import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_run_in_the_folder_is_refused(task_run, task_trained):
    task_run.folder.mkdir(parents=True)
    command = [sys.executable, "-c", HOLD, str(task_run.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        for flags in [], ["--eval-only", "MODEL.WEIGHTS", str(task_trained.folder / "model_final.pth")]:
            with pytest.raises(ValueError, match=rf"in use by another run, process {holder.pid} on .* begun"):
                task_run(*flags, *SHORT)
        assert json.loads((task_run.folder / LOCK).read_text())["pid"] == holder.pid
        holder.kill()
    assert (task_run.folder / LOCK).exists()
    with locked(task_run.folder):  # what a dead process left is taken over
        assert json.loads((task_run.folder / LOCK).read_text())["pid"] == os.getpid()
    assert not (task_run.folder / LOCK).exists()


@pytest.mark.parametrize("content", ["[]\n", '{"loss": 1}\n', "[" * 100_000 + "\n", "\0\0"])
def test_another_kind_of_file_in_the_place_of_the_metrics(task_run, content):
    task_run.folder.mkdir(parents=True)
    (task_run.folder / "metrics.json").write_text(content)
    with pytest.raises(ValueError, match=r"metrics\.json"):
        task_run(*SHORT)
    assert (task_run.folder / "metrics.json").read_text() == content and not (task_run.folder / "config.yaml").exists()


@pytest.mark.parametrize("value", [None, [], "x", 10**400, {}, -1, float("nan"), [{}], {"fit_loop": {}}])
@pytest.mark.parametrize("entry", ["iteration", "seed", "loops", "optimizer_states", "lr_schedulers", "global_step"])
def test_a_state_of_another_form(entry, value, task_trained, tmp_path):
    torch.save({**task_trained.checkpoint(), entry: value}, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=r"x\.pth") as error:
        AtomicCheckpointIO().load_checkpoint(tmp_path / "x.pth")
    assert entry in str(error.value) or value == 10**400


def test_a_pipe_in_the_place_of_the_log(task_run):
    task_run.folder.mkdir(parents=True)
    os.mkfifo(task_run.folder / "log.txt")
    with pytest.raises(OSError, match="named pipe"):
        task_run(*SHORT)


def test_a_file_of_metrics_may_be_of_any_size(tmp_path):
    """A line for each iteration: tens of megabytes in a long training."""
    line = json.dumps({"iteration": 0, "total_loss": 1.0, "padding": "x" * MAX_BYTES}) + "\n"
    (tmp_path / "metrics.json").write_text(line)
    metrics = MetricsFile(tmp_path)
    metrics.check()
    metrics.open(1)
    assert metrics.last["iteration"] == 0
