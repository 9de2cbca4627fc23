"""A contender in a process of its own, which does a turn whenever it is asked to."""

from __future__ import annotations

import math
import multiprocessing as mp
import time
import warnings
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import torch

from benchmarks.contender import Contender, Job
from benchmarks.flops import count_flops
from benchmarks.memory import Memory

__all__ = ["ContenderProcess", "DidNotRun"]

TURN_SECONDS = 0.2
COMPARED = 100_000  # values of each output, evenly spread: enough to compare by, and little to send
PATIENCE_SECONDS = 5


class DidNotRun(Exception):
    """A contender failed; the text says how."""


class ContenderProcess:
    """A contender that has been built and warmed up, ready for its turns.

    Args:
        contender: what to build.
        device: "cpu" or "cuda", for the clock and the memory.
        threads: of torch.

    Attributes:
        outputs: a part of the values of each output of the first step, numpy.

    Raises:
        DidNotRun: it cannot be built, or its first step failed.
    """

    def __init__(self, contender: Contender, device: str, threads: int) -> None:
        context = mp.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, contender, device, threads))
        self._process.start()
        theirs.close()  # so that the end of the process is seen
        try:
            self.outputs = self._answer()
        except BaseException:
            self.close()
            raise

    def turn(self) -> float:
        """Seconds of a step: the mean of as many as fill `TURN_SECONDS`."""
        return self._ask("turn")

    def finish(self) -> dict[str, Any]:
        """What is asked for once: ``peak_mib``, ``flops``, ``items``, ``notes``."""
        return self._ask("finish")

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join(PATIENCE_SECONDS)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()

    def _ask(self, word: str) -> Any:
        with suppress(BrokenPipeError):  # there may be an answer still, or else the end of it
            self._pipe.send(word)
        return self._answer()

    def _answer(self) -> Any:
        try:
            kind, answer = self._pipe.recv()
        except (EOFError, ConnectionResetError) as error:
            raise DidNotRun("its process ended; was there memory enough?") from error
        if kind == "error":
            raise DidNotRun(answer)
        return answer


def _serve(pipe: Connection, contender: Contender, device: str, threads: int) -> None:
    """Answer each word with ("ok", answer) or ("error", text), until the other side is gone."""
    mp.set_start_method(None, force=True)  # the system's: this process's own would be a loader's too, and is slow
    torch.set_num_threads(threads)
    warnings.simplefilter("ignore")  # peers warn of what their own developers should change
    try:
        job = contender.build()
        memory = Memory(device)
        outputs = [_some_values(output) for output in job.run()]
        memory.restart_peak()  # compilation is over
        steps = math.ceil(TURN_SECONDS / _seconds(job, 1, device))
        _make_room(device)
        pipe.send(("ok", outputs))  # last: the next one starts now
        while pipe.recv() == "turn":
            if steps > 1 or device == "cuda":  # caches are cold after the others' turns, and a GPU's memory given back
                job.run()
            pipe.send(("ok", _seconds(job, steps, device)))
            _make_room(device)
        peak = memory.peak()
        flops = _count(job)
        pipe.send(("ok", {"peak_mib": peak, "flops": flops, "items": job.items, "notes": job.notes()}))
    except (EOFError, BrokenPipeError):
        return
    except ModuleNotFoundError as error:
        pipe.send(("error", f"{contender.package} is not installed ({error})"))
    except Exception as error:  # whatever a peer raises is its result
        pipe.send(("error", f"{type(error).__name__}: {error}"))


def _some_values(output: torch.Tensor) -> Any:
    values = output.detach().flatten()
    some = values[:: max(1, len(values) // COMPARED)]
    return some.to("cpu", torch.float32, copy=True).numpy()  # a view would keep all of the output


def _seconds(job: Job, steps: int, device: str) -> float:
    """Mean seconds of a step."""
    _wait_for(device)
    start = time.perf_counter()
    for _ in range(steps):
        job.run()
    _wait_for(device)
    return (time.perf_counter() - start) / steps


def _make_room(device: str) -> None:
    """Give the memory of a GPU back between turns: all contenders are on the same one."""
    if device == "cuda":
        torch.cuda.empty_cache()


def _count(job: Job) -> int:
    """Operations of a step; 0 if they are not counted or the eager step, unlike a compiled one, needs too much."""
    try:
        return count_flops(job.counted) if job.counted else 0
    except torch.OutOfMemoryError:
        return 0


def _wait_for(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
