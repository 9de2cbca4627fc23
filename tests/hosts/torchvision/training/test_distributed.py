"""Two processes on the CPU, under torchrun."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import pytest

from hiera_det.hosts.torchvision.evaluation import _check_complete

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="torchrun with gloo")


def torchrun(run, environment, *arguments: str) -> subprocess.CompletedProcess:
    _, *script = run.command(*arguments)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *script]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def test_two_processes(run, new_run, environment):
    finished = torchrun(run, environment, "SEED", "-1", "SOLVER.MAX_ITER", "3", "VIS_PERIOD", "2")
    assert finished.returncode == 0, finished.stderr
    assert len(run.losses) == 3
    # The final evaluation, shared by two ranks, is that of one process.
    alone = new_run()
    alone("--eval-only", "MODEL.WEIGHTS", str(run.folder / "model_final.pth"))
    both, one = (json.loads((it.folder / "inference" / "metrics.json").read_text()) for it in (run, alone))
    assert both == one
    # Resumed by one process: half of the images each become all of them.
    run("--resume", "SOLVER.MAX_ITER", "4", "DATASETS.TEST", "()")
    assert len(run.losses) == 4


def test_lost_and_repeated_images_are_noticed():
    _check_complete(Counter([2, 1]), Counter([1, 2]))
    with pytest.raises(RuntimeError, match=r"1 lost \(such as \[3\]\), 1 too many \(such as \[1\]\)"):
        _check_complete(Counter([1, 1, 2]), Counter([1, 2, 3]))
