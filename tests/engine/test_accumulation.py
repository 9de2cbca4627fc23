"""An iteration in several micro-batches, on one rank or two, has the gradients of one batch."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parent / "toy.py"


@pytest.fixture(scope="module")
def toy():
    spec = importlib.util.spec_from_file_location("toy", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fitted(folder: Path) -> torch.Tensor:
    state = torch.load(folder / "model_final.pth", weights_only=True)["model"]
    return torch.cat([state["backbone.weight"].flatten(), state["backbone.bias"]])


@pytest.fixture(scope="module")
def straight(toy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("straight")
    toy.fit(folder, 1)
    return fitted(folder)


@pytest.mark.parametrize("accumulate", [2, 4, 8])
def test_one_rank(toy, straight, tmp_path, accumulate):
    toy.fit(tmp_path, accumulate)
    torch.testing.assert_close(fitted(tmp_path), straight, rtol=1e-5, atol=1e-6)


def test_mixed_precision(toy, tmp_path, monkeypatch):
    monkeypatch.setattr("hiera_det.engine.run.precision", lambda *_: "bf16-mixed")
    for accumulate in (1, 4):
        toy.fit(tmp_path / str(accumulate), accumulate)
    one, four = (fitted(tmp_path / name) for name in ("1", "4"))
    torch.testing.assert_close(four, one, rtol=0.02, atol=0.02)


def test_the_split_may_change_on_resume(toy, straight, tmp_path):
    toy.fit(tmp_path, 4, "SOLVER.CHECKPOINT_PERIOD", 2)
    (tmp_path / "last_checkpoint").write_text("model_0000001.pth")
    toy.fit(tmp_path, 2, resume=True)
    torch.testing.assert_close(fitted(tmp_path), straight, rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(sys.platform != "linux", reason="torchrun with gloo")
def test_two_ranks(straight, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, SCRIPT, tmp_path, "2"], env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    torch.testing.assert_close(fitted(tmp_path), straight, rtol=1e-5, atol=1e-6)
