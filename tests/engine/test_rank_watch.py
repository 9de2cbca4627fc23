"""No rank waits for ever for one that has died or failed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="torchrun with gloo")

ENDED = 120  # seconds: a minute, and the start of torch

RANK = """
import os, signal, sys, time
import torch.distributed as dist
from hiera_det.cli.errors import user_errors
from hiera_det.engine.distributed import torchrun_ranks

one, what, others = int(sys.argv[1]), sys.argv[2], sys.argv[3]
with user_errors(), torchrun_ranks() as (rank, _):
    if rank == one:
        time.sleep(1)  # so that the others wait
    if rank == one and what == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    elif rank == one and what == "fails":
        raise ValueError("a bad file of this rank alone")
    elif rank != one and others == "wait":
        dist.barrier()
    elif rank != one:
        time.sleep(1000 if others == "compute" else 3)
"""


def ranks(*arguments: str) -> list[tuple[int, str]]:
    """Exit code and stderr of each of three ranks."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "WORLD_SIZE": "3", "MASTER_ADDR": "127.0.0.1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, *arguments],
            env={**environment, "MASTER_PORT": port, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(3)
    ]
    try:
        errors = [process.communicate(timeout=ENDED)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, error) for process, error in zip(processes, errors, strict=True)]


@pytest.mark.parametrize(
    ("dead", "others"), [(1, "compute"), (0, "compute"), pytest.param(2, "wait", marks=pytest.mark.slow)]
)
def test_a_dead_rank_is_named_on_one_line(dead, others):
    outcomes = ranks(str(dead), "dies", others)
    assert [code for code, _ in outcomes] == [-signal.SIGKILL if rank == dead else 1 for rank in range(3)], outcomes
    errors = "".join(error for _, error in outcomes)
    assert errors.count(f"rank {dead} of 3 on 127.0.0.1 has died") == 1 and errors.count("has died") == 1, errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("others", ["compute", pytest.param("wait", marks=pytest.mark.slow)])
def test_an_error_of_one_rank_ends_all_and_is_shown_once(others):
    outcomes = ranks("1", "fails", others)
    assert [code for code, _ in outcomes] == [1, 2, 1], outcomes
    errors = "".join(error for _, error in outcomes)
    assert errors.count("error: a bad file of this rank alone") == 1
    assert "has died" not in errors and "Traceback" not in errors


@pytest.mark.slow
def test_a_rank_that_is_through_ends_no_other():
    outcomes = ranks("1", "ends", "go on")
    assert [code for code, _ in outcomes] == [0, 0, 0], outcomes


def pid_of(rank: int, launcher: int) -> int:
    """The process of a rank that torchrun has started."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    environments = {pid: Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") for pid in children}
    (found,) = [pid for pid, environment in environments.items() if f"RANK={rank}".encode() in environment]
    return int(found)


@pytest.mark.slow
@pytest.mark.parametrize("dead", [0, 1])
def test_a_training_ends_and_is_resumed(run, environment, dead):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    _, *command = run.command("SOLVER.MAX_ITER", "100000", "DATALOADER.NUM_WORKERS", "1")
    process = subprocess.Popen([*torchrun, *command], env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (run.folder / "last_checkpoint").exists():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.05)
    os.kill(pid_of(dead, process.pid), signal.SIGKILL)
    _, errors = process.communicate(timeout=ENDED)
    ours = errors.partition("torch/distributed/elastic")[0]  # then torchrun's own account
    assert process.returncode != 0 and ours.count(f"rank {dead} of 2 on") == 1 and "Traceback" not in ours, errors
    iterations = run.checkpoint((run.folder / "last_checkpoint").read_text())["iteration"] + 1
    run("--resume", "SOLVER.MAX_ITER", str(iterations + 1), "DATASETS.TEST", "()")
    assert len(run.losses) == iterations + 1
