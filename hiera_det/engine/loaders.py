"""Loaders whose worker processes are not waited for once they are dead, and do not outlive their run."""

from __future__ import annotations

import multiprocessing
import multiprocessing.queues
import os
import re
import shutil
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from torch._utils import ExceptionWrapper
from torch.utils.data import DataLoader, Dataset

__all__ = ["build_loader", "ending_workers"]

_SHARED_MEMORY = "/dev/shm"
_SIGNALS = (signal.SIGTERM, signal.SIGINT)  # for the main process
_NO_WORKERS = "set DATALOADER.NUM_WORKERS 0"
# As torch raises what came up in a worker: with the worker's traceback in its message.
_IN_WORKER = re.compile(r"Caught (\w+) in DataLoader worker.*(?:\n|Original )(?:\w+\.)*\1: (?P<message>.*)", re.DOTALL)
_DEATH = 2.0  # seconds, within which the death of a worker follows its first signs
_workers: ContextVar[list[BaseProcess]] = ContextVar("workers")  # of the block of ending_workers


def build_loader(
    dataset: Dataset,
    sampler: Iterable[Any],
    batch_size: int | None,
    collate: Callable[[Any], Any],
    num_workers: int,
) -> DataLoader:
    """Build a loader whose worker processes leave signals to the main process, and end with it.

    It is to be read within :func:`ending_workers`. With a ``batch_size`` of None it gives items one by one, as
    ``collate`` makes them, in memory that is not pinned.
    """
    return _Loader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=num_workers,
        collate_fn=collate,
        pin_memory=batch_size is not None and torch.cuda.is_available(),
        worker_init_fn=_prepare_worker,
    )


@contextmanager
def ending_workers() -> Iterator[None]:
    """End the worker processes that the block's loaders leave, and say in one line what went wrong in one of them.

    They are killed: as they ignore SIGTERM, Python would wait at its end for one that is blocked.

    Raises:
        OSError: a worker has died, or what it read cannot be sent.
        ValueError, OSError: that came up in a worker, without the worker's traceback in its message.
    """
    workers: list[BaseProcess] = []
    token = _workers.set(workers)
    try:
        yield
    except Exception as error:
        with _deaths_unseen():
            problem = _problem(workers, error)
        if problem is not None:
            raise problem from error
        raise
    finally:
        _workers.reset(token)
        with _deaths_unseen():
            for worker in workers:
                worker.kill()
            for worker in workers:
                worker.join()


class _Loader(DataLoader):
    """Notes its workers, which no signal reaches from their start on."""

    def __iter__(self) -> Any:
        before = set(multiprocessing.active_children())
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            if self.num_workers:  # what torch takes of the system; its own half-made iterator fails once more
                [multiprocessing.Queue() for _ in range(self.num_workers + 3)]
            batches = super().__iter__()
        except OSError as error:
            reason = str(error)
            raise OSError(f"a loader's worker processes cannot be started: {reason}; {_advice(reason)}") from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if workers := set(multiprocessing.active_children()) - before:
            noted = _workers.get([])
            noted[:] = [*(worker for worker in noted if worker.exitcode != 0), *workers]
        return batches


def _prepare_worker(worker: int) -> None:
    """Begin a worker process: it leaves signals to the main process, ends with it, and says what it cannot send.

    A SIGTERM or Ctrl-C to all processes is for the main one, which saves a checkpoint and then ends its workers.
    """
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    # multiprocessing would print a traceback and drop the batch, for which the main process waits for ever.
    multiprocessing.queues.Queue._on_queue_feeder_error = _send_error  # type: ignore[attr-defined]
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _send_error(queue: Any, error: Exception, item: Any) -> None:
    """Put what came up in the place of a batch that cannot be sent."""
    number, _ = item
    problem = OSError(f"a batch cannot be sent from a loader's worker process: {error}; {_advice(str(error))}")
    queue.put((number, ExceptionWrapper((OSError, problem, None), "in DataLoader worker process")))


def _end_with_parent() -> None:
    """Wait for the end of the main process, however it came; a worker that sends a batch would not see it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _deaths_unseen() -> Iterator[None]:
    """Keep off torch's handler, which raises an error at whatever the main process does once a worker has died."""
    in_main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL) if in_main else None
    try:
        yield
    finally:
        if handler is not None:
            signal.signal(signal.SIGCHLD, handler)


def _problem(workers: Sequence[BaseProcess], error: Exception) -> Exception | None:
    """What an error says of the workers; None: nothing.

    Where a worker has died, it may be any error: torch raises its own at whatever the main process does, and a batch
    that is half received raises others.
    """
    if alive := [worker.sentinel for worker in workers if worker.exitcode is None]:
        wait(alive, 0 if any(worker.exitcode for worker in workers) else _DEATH)
    for worker in workers:
        if code := worker.exitcode:
            how = signal.strsignal(-code) if code < 0 else f"exit code {code}"
            return OSError(f"a loader's worker process died ({how}); {_advice(str(how))}")
    message = str(error)
    if isinstance(error, RuntimeError) and "Too many open files" in message:
        return OSError(f"too many open files for a loader's worker processes; {_advice(message)}")
    if isinstance(error, ValueError | OSError) and (found := _IN_WORKER.match(message)):
        return type(error)(found["message"].strip())
    return None


def _advice(reason: str) -> str:
    if "Too many open files" in reason:
        return f"raise `ulimit -n`, or {_NO_WORKERS}"
    if "Killed" in reason or "Cannot allocate" in reason:
        return f"the machine's memory probably ran out: {_NO_WORKERS} or few, or smaller images or batches"
    if "Bus error" in reason or "No space left" in reason:
        small = f"{_SHARED_MEMORY}{_free()} is too small"
        return f"{small}: give the container more (docker run --shm-size 8g), or {_NO_WORKERS}"
    return f"{_NO_WORKERS} to go without, and to see where it is"


def _free() -> str:
    try:
        usage = shutil.disk_usage(_SHARED_MEMORY)
    except OSError:
        return ""
    return f" ({usage.free >> 20} of {usage.total >> 20} MB free)"
