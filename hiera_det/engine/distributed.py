"""What several processes do together: the ranks of Lightning, or of torchrun."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from hiera_det.engine.rank_watch import RankWatch

__all__ = ["from_rank_zero", "gather", "mean_over_ranks", "on_rank_zero", "torchrun_ranks"]

_PATIENCE = timedelta(days=30)  # a rank that is through waits for the others
T = TypeVar("T")


def gather(share: T) -> list[T]:
    """Bring the shares of all ranks to rank 0; the others get nothing."""
    if not dist.is_initialized():
        return [share]
    shares: list[Any] = [None] * dist.get_world_size() if dist.get_rank() == 0 else []
    dist.gather_object(share, shares or None)
    return shares


def mean_over_ranks(value: Tensor) -> Tensor:
    """Compute the mean of a tensor over all ranks; every rank gets it."""
    if dist.is_initialized():
        value = value.clone()
        dist.all_reduce(value)
        value /= dist.get_world_size()
    return value


@contextmanager
def torchrun_ranks() -> Iterator[tuple[int, int]]:
    """Join the ranks of torchrun, on their GPUs if there are any: this process' rank and their number.

    Without torchrun the process is alone: (0, 1). All ranks end when one dies or fails, see
    :class:`~hiera_det.engine.rank_watch.RankWatch`.
    """
    world_size = int(os.environ.get("WORLD_SIZE", 1))
    if world_size == 1:
        yield 0, 1
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())
    dist.init_process_group("gloo")
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # the watch may know why it came
    try:
        with RankWatch():
            yield dist.get_rank(), world_size
    finally:
        dist.destroy_process_group()


def on_rank_zero(rank: int, work: Callable[[], T]) -> T:
    """Let rank 0 of :func:`torchrun_ranks` work once all ranks are here; all get what :func:`from_rank_zero` gives."""
    if dist.is_initialized():
        dist.monitored_barrier(timeout=_PATIENCE)
    return from_rank_zero(rank, work)


def from_rank_zero(rank: int, work: Callable[[], T]) -> T:
    """Let rank 0 work; all ranks get its result, or its exception."""
    if not dist.is_initialized():
        return work()
    outcome: list[Any] = [None]
    if rank == 0:
        try:
            outcome = [(work(), None)]
        except Exception as error:  # the other ranks wait
            outcome = [(None, error)]
    dist.broadcast_object_list(outcome)
    result, problem = outcome[0]
    if problem is not None:
        raise problem
    return result
