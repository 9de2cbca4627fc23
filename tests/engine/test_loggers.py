"""Lightning's loggers by one key, offline."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hiera_det.config import get_cfg
from hiera_det.engine.loggers import build_loggers, check_loggers, log_image

SHORT = ["SOLVER.MAX_ITER", "3", "SOLVER.CHECKPOINT_PERIOD", "2"]


def columns(path) -> dict[str, list[str]]:
    rows = list(csv.DictReader(path.open()))
    return {name: [row[name] for row in rows if row[name]] for name in rows[0]}


def test_tensorboard_and_csv(task_run):
    task_run("LOGGERS", "['tensorboard', 'csv']", *SHORT)
    loss = task_run.losses[2]["total_loss"]
    found = columns(task_run.folder / "csv" / "version_0" / "metrics.csv")
    assert found["total_loss"] == [str(loss)] and found["step"][0] == "2"
    score = next(name for name in ("bbox/AP", "mAP", "test/loss") if name in task_run.records[-1])
    assert found[score] == [str(task_run.records[-1][score])]
    events = EventAccumulator(str(task_run.folder))
    events.Reload()
    assert events.Scalars("total_loss")[0].value == pytest.approx(loss)
    assert score in events.Tags()["scalars"]


def test_a_resumed_run_keeps_what_was_logged(task_run):
    options = ["LOGGERS", "['csv']", *SHORT]
    task_run(*options)
    first = (task_run.folder / "csv" / "version_0" / "metrics.csv").read_text()
    (task_run.folder / "last_checkpoint").write_text("model_0000001.pth")
    task_run("--resume", *options)
    assert (task_run.folder / "csv" / "version_0" / "metrics.csv").read_text() == first
    assert columns(task_run.folder / "csv" / "version_1" / "metrics.csv")["step"][0] == "2"


def test_none(task_run):
    task_run("LOGGERS", "[]", "SOLVER.MAX_ITER", "1")
    assert not list(task_run.folder.glob("events*")) and len(task_run.losses) == 1


def test_what_is_refused(task_run, monkeypatch):
    with pytest.raises(ValueError, match=r"LOGGERS has 'neptune'; expected some of tensorboard, csv, wandb, mlflow"):
        task_run("LOGGERS", "['neptune']")
    for name, installed in (("wandb", "mlflow"), ("mlflow", "wandb")):
        monkeypatch.setattr("hiera_det.engine.loggers.find_spec", {installed: True}.get)
        with pytest.raises(ValueError, match=rf"LOGGERS has '{name}', which is not installed: pip install {name}"):
            task_run("LOGGERS", f"['{name}']")
    assert not task_run.folder.exists()


@pytest.fixture
def cfg(tmp_path):
    cfg = get_cfg()
    cfg.OUTPUT_DIR = str(tmp_path / "run")
    return cfg


def test_wandb_offline(cfg, monkeypatch, tmp_path):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    (tmp_path / "run").mkdir()
    cfg.LOGGERS = ["wandb"]
    check_loggers(cfg)
    (logger,) = build_loggers(cfg, 0)
    logger.log_metrics({"total_loss": 0.5}, 3)
    log_image([logger], "train/detections", np.zeros((8, 9, 3), np.uint8), 4)
    logger.experiment.finish()
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*/run-*.wandb"))
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*/files/media/images/train/detections*.png"))


def test_mlflow_offline(cfg, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # a folder; the default, a database, needs sqlalchemy
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path / 'run' / 'mlruns'}")
    cfg.LOGGERS = ["mlflow"]
    check_loggers(cfg)
    (logger,) = build_loggers(cfg, 0)
    logger.log_metrics({"total_loss": 0.5}, 3)
    log_image([logger], "train/detections", np.zeros((8, 9, 3), np.uint8), 4)
    logger.finalize("success")
    client = mlflow.MlflowClient(f"file:{tmp_path / 'run' / 'mlruns'}")
    (point,) = client.get_metric_history(logger.run_id, "total_loss")
    assert (point.step, point.value) == (3, 0.5)
    assert list((tmp_path / "run" / "mlruns").rglob("*.png"))
