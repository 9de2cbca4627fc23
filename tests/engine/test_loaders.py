"""Loaders' worker processes: their death is told, and none is left or waited for."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time

import pytest
import torch
from torch.utils.data import Dataset, get_worker_info

from hiera_det.engine.loaders import build_loader, ending_workers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and /dev/shm are Linux'")

ENDED = 60  # seconds, within which all has to come to an end


@pytest.fixture(autouse=True)
def _bounded():
    """What hangs fails."""
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it hangs"))
    signal.alarm(2 * ENDED)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


class Unsendable:
    """As a tensor where /dev/shm is full."""

    def __reduce__(self):
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")


class Items(Dataset):
    """Numbers; what is made of one of them in a worker is up to the test."""

    def __init__(self, made=torch.tensor, of: int = 2) -> None:
        self.made, self.of = made, of

    def __len__(self):
        return 8

    def __getitem__(self, index):
        assert get_worker_info() is not None
        return self.made(index) if index == self.of else torch.tensor(index)


def read(dataset: Dataset) -> list:
    with ending_workers():
        return [int(number) for number in build_loader(dataset, range(8), None, lambda item: item, 2)]


def die(number: int):
    return lambda _: os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (signal.SIGKILL, r"died \(Killed\); the machine's memory probably ran out: set DATALOADER.NUM_WORKERS 0"),
        (signal.SIGBUS, r"died \(Bus error\); /dev/shm \(\d+ of \d+ MB free\).* --shm-size 8g\), or set DATALOADER"),
        (signal.SIGSEGV, r"died \(Segmentation fault\); set DATALOADER.NUM_WORKERS 0 to go without, and to see"),
    ],
    ids=["killed", "bus", "segmentation"],
)
def test_a_dead_worker_is_one_line(number, message):
    began = time.monotonic()
    with pytest.raises(OSError, match=message) as error:
        read(Items(die(number)))
    assert time.monotonic() - began < ENDED and "\n" not in str(error.value)
    assert not multiprocessing.active_children()


def test_what_cannot_be_sent_is_one_line():
    """Multiprocessing prints a traceback and drops it; the main process would wait for ever."""
    with pytest.raises(OSError, match=r"cannot be sent.* No space left .*--shm-size 8g\), or set DATA") as error:
        read(Items(lambda _: Unsendable()))
    assert "\n" not in str(error.value)


def test_an_error_in_a_worker_comes_without_its_traceback():
    def fail(_):
        raise FileNotFoundError("no image\nof this name")

    with pytest.raises(FileNotFoundError) as error:
        read(Items(fail))
    assert str(error.value) == "no image\nof this name"
    assert "Original Traceback" in str(error.value.__cause__)  # for the log


def test_a_blocked_worker_is_not_waited_for():
    began = time.monotonic()
    with ending_workers():
        batches = iter(build_loader(Items(lambda _: time.sleep(1000), of=7), range(8), None, lambda item: item, 2))
        assert int(next(batches)) == 0 and len(multiprocessing.active_children()) == 2
    assert not multiprocessing.active_children()  # nor does torch's handler raise that they were killed
    del batches
    assert time.monotonic() - began < ENDED


def test_signals_are_left_to_the_main_process():
    """From a worker's start on."""
    with ending_workers():
        batches = iter(build_loader(Items(), range(8), None, lambda item: item, 2))
        for worker in multiprocessing.active_children():
            os.kill(worker.pid, signal.SIGTERM)
            os.kill(worker.pid, signal.SIGINT)
        assert [int(number) for number in batches] == list(range(8))


@pytest.mark.slow
@pytest.mark.parametrize(("size", "problem"), [("4k", "cannot be started"), ("1m", "a batch cannot be sent")])
def test_a_training_with_a_small_shm(run, environment, small_shm, size, problem):
    sides = ["INPUT.MIN_SIZE_TRAIN", "(512,)", "INPUT.MAX_SIZE_TRAIN", "512"]
    command = [*small_shm(size), *run.command(*sides, "DATALOADER.NUM_WORKERS", "2")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=2 * ENDED)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert re.search(rf"\nerror: .*{problem}.*No space left on device.*--shm-size 8g.*\n$", done.stderr), done.stderr


ORPHANS = """
import multiprocessing, os, time, torch
from hiera_det.engine.loaders import build_loader
items = [[torch.zeros(100) for _ in range(3000)]] * 64  # more to send than a pipe holds
loader = iter(build_loader(items, range(64), None, lambda item: item, 3))
time.sleep(3)
print(*(worker.pid for worker in multiprocessing.active_children()), flush=True)
time.sleep(1000)
"""


def runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_workers_end_with_a_killed_main_process():
    """Also those that are sending a batch, which nobody takes any more."""
    process = subprocess.Popen([sys.executable, "-c", ORPHANS], stdout=subprocess.PIPE, text=True)
    workers = [int(pid) for pid in process.stdout.readline().split()]
    assert len(workers) == 3 and all(runs(pid) for pid in workers)
    process.kill()
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + ENDED
    while any(runs(pid) for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.1)
