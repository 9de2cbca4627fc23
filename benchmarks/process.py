"""Run a candidate in its own process, a step or several at a time."""

from __future__ import annotations

import math
import multiprocessing as mp
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from benchmarks.candidate import Candidate, Job, synchronize
from benchmarks.flops import count_flops
from benchmarks.memory import Memory
from benchmarks.profiles import profile_step

__all__ = ["CandidateError", "CandidateProcess"]

RUN_SECONDS = 0.2
COMPARED_VALUES = 100_000  # of each output, evenly spread: enough to compare, and quick to send
CLOSE_SECONDS = 5


class CandidateError(Exception):
    """A candidate failed; the text says how."""


class CandidateProcess:
    """A process in which a candidate has been built and warmed up.

    Args:
        candidate: what to build.
        device: "cpu" or "cuda", for the clock and the memory.
        threads: number of torch's threads.

    Attributes:
        outputs: some values of each output of the first step, as NumPy arrays.

    Raises:
        CandidateError: it cannot be built, or its first step failed.
    """

    def __init__(self, candidate: Candidate, device: str, threads: int) -> None:
        context = mp.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, candidate, device, threads))
        self._process.start()
        theirs.close()  # so that the end of the process is seen
        try:
            self.outputs = self._answer()
        except BaseException:
            self.close()
            raise

    def run(self) -> float:
        """Repeat the step for about `RUN_SECONDS` and return the mean seconds of a step."""
        return self._ask("run")

    def finish(self) -> dict[str, Any]:
        """Return what is asked for once: ``peak_mib``, ``flops``, ``items``, ``details``."""
        return self._ask("finish")

    def profile(self, path: Path) -> str:
        """Profile a step: see :func:`~.profiles.profile_step`."""
        return self._ask("profile", path)

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join(CLOSE_SECONDS)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()

    def _ask(self, *request: Any) -> Any:
        with suppress(BrokenPipeError):  # an answer may still be waiting; if not, its end is seen there
            self._pipe.send(request)
        return self._answer()

    def _answer(self) -> Any:
        try:
            kind, answer = self._pipe.recv()
        except (EOFError, ConnectionResetError) as error:
            raise CandidateError("its process ended; was there enough memory?") from error
        if kind == "error":
            raise CandidateError(answer)
        return answer


def _serve(pipe: Connection, candidate: Candidate, device: str, threads: int) -> None:
    """Answer each request with ("ok", answer) or ("error", text), until the other side closes the pipe."""
    mp.set_start_method(None, force=True)  # the system's default: data loaders would inherit "spawn", which is slow
    torch.set_num_threads(threads)
    warnings.simplefilter("ignore")  # baselines warn of what their own developers should change
    try:
        job = candidate.build()
        memory = Memory(device)
        outputs = [_some_values(output) for output in job.step()]
        memory.restart_peak()  # compilation is over
        steps = math.ceil(RUN_SECONDS / _seconds(job, 1, device))
        answers: dict[str, Callable[..., Any]] = {
            "run": partial(_run, job, steps, device),
            "finish": partial(_finish, job, memory),
            "profile": partial(profile_step, job.step, device),
        }
        _free_cache(device)
        pipe.send(("ok", outputs))  # last: the next candidate starts now
        while True:
            name, *arguments = pipe.recv()
            pipe.send(("ok", answers[name](*arguments)))
    except (EOFError, BrokenPipeError):
        return
    except ModuleNotFoundError as error:
        pipe.send(("error", f"{candidate.package} is not installed ({error})"))
    except Exception as error:  # whatever a baseline raises is its result
        pipe.send(("error", f"{type(error).__name__}: {error}"))


def _run(job: Job, steps: int, device: str) -> float:
    if steps > 1 or device == "cuda":  # caches are cold after the others' runs, and a GPU's memory was freed
        job.step()
    seconds = _seconds(job, steps, device)
    _free_cache(device)
    return seconds


def _finish(job: Job, memory: Memory) -> dict[str, Any]:
    peak = memory.peak()  # first: counting and details need memory too
    return {"peak_mib": peak, "flops": _count(job), "items": job.items, "details": job.details()}


def _some_values(output: torch.Tensor) -> Any:
    values = output.detach().flatten()
    some = values[:: max(1, len(values) // COMPARED_VALUES)]
    return some.to("cpu", torch.float32, copy=True).numpy()  # a view would keep the memory of the output


def _seconds(job: Job, steps: int, device: str) -> float:
    """Mean seconds of a step."""
    synchronize(device)
    start = time.perf_counter()
    for _ in range(steps):
        job.step()
    synchronize(device)
    return (time.perf_counter() - start) / steps


def _free_cache(device: str) -> None:
    """Give back a GPU's memory between runs: all candidates share it."""
    if device == "cuda":
        torch.cuda.empty_cache()


def _count(job: Job) -> int:
    """FLOPs of a step; 0 if they are not counted, or if the eager step needs more memory than there is."""
    try:
        return count_flops(job.counted) if job.counted else 0
    except torch.OutOfMemoryError:
        return 0
