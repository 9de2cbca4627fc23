"""A full disk is one line with the path, and what was there stays whole; a limit on the size of files stands for it."""

from __future__ import annotations

import errno

import pytest
import torch

from hiera_det.engine.metrics import MetricsFile
from hiera_det.utils.files import atomic_write, write_json
from hiera_det.weights.tensorfiles import write_safetensors
from tests.utils.full_disk import files_of_at_most


def write_torch(path):
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        torch.save({"model": torch.zeros(100_000)}, file)


def write_tensors(path):
    with atomic_write(path) as temporary:
        write_safetensors({"a": torch.zeros(100_000)}, temporary)


def write_text(path):
    write_json(path, list(range(100_000)))


@pytest.mark.parametrize("write", [write_torch, write_tensors, write_text])
@pytest.mark.parametrize("size", [0, 1000, 100_000])
def test_one_line_with_the_path(write, size, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with files_of_at_most(size), pytest.raises(OSError, match=rf"^{path} cannot be written: the disk is full"):
        write(path)
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]
    write(path)
    assert path.stat().st_size > 100_000


def test_a_library_that_does_not_say_why(tmp_path, monkeypatch):
    """torch.save to a path: the disk is asked."""

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="the disk is full"), atomic_write(tmp_path / "x"):
        monkeypatch.setattr("hiera_det.utils.files.tempfile.TemporaryFile", full)
        raise RuntimeError("unexpected pos 5211264 vs 5211152")
    monkeypatch.undo()
    with pytest.raises(RuntimeError, match="unexpected"), atomic_write(tmp_path / "x"):
        raise RuntimeError("unexpected pos 5211264 vs 5211152")


def test_checkpoint(task_run):
    task_run("SOLVER.MAX_ITER", "4", "SOLVER.CHECKPOINT_PERIOD", "2")
    (task_run.folder / "last_checkpoint").write_text("model_0000001.pth")
    with (
        files_of_at_most(50_000),
        pytest.raises(OSError, match=r"\.(pth|png) cannot be written: the disk"),
    ):
        task_run("--resume")
    assert (task_run.folder / "last_checkpoint").read_text() == "model_0000001.pth"
    assert task_run.checkpoint("model_0000001.pth")["iteration"] == 1
    assert not list(task_run.folder.glob("tmp.*"))
    task_run("--resume")
    assert task_run.checkpoint()["iteration"] == 3


def test_metrics_file(tmp_path):
    metrics = MetricsFile(tmp_path)
    metrics.open(0)
    metrics.write({"iteration": 0, "loss": 1.0})
    before = metrics.path.read_bytes()
    with files_of_at_most(len(before) + 5), pytest.raises(OSError, match=r"metrics\.json cannot be written: the disk"):
        metrics.write({"iteration": 1, "loss": 1.0})
    again = MetricsFile(tmp_path)
    again.open(1)
    assert again.path.read_bytes() == before
