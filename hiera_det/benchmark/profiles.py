"""Where the time of a step goes, by operator."""

from __future__ import annotations

import multiprocessing as mp
import re
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from hiera_det.benchmark.contender import Contender
from hiera_det.files import make_folder, written_aside

__all__ = ["format_profile", "profile_contender"]

TOP = 15
COPIES = ("aten::copy_", "aten::clone", "aten::contiguous")


def profile_contender(contender: Contender, title: str, device: str, threads: int, folder: Path) -> str:
    """Profile one step, after one that warms up, in a process of its own.

    Args:
        contender: what to profile.
        title: of the case: part of the trace's name.
        device: "cpu" or "cuda".
        threads: of torch.
        folder: where a Chrome trace is written; it is made.

    Returns:
        A table of the operators with the most time of their own, and the counts of `COPIES`.

    Raises:
        OSError: the folder cannot be written to.
    """
    make_folder(folder, "--profile folder")
    path = folder / f"{re.sub('[^a-zA-Z0-9+]+', '_', f'{contender.name} {title}')}.json"
    with ProcessPoolExecutor(1, mp.get_context("spawn")) as pool:
        events = pool.submit(_profile, contender, device, threads, path).result()
    return f"{format_profile(contender.name, events)}\ntrace: {path}"


def _profile(contender: Contender, device: str, threads: int, path: Path) -> list[tuple[str, int, float]]:
    """Write the trace; name, calls and own microseconds of each operator, on the device where it has time there."""
    torch.set_num_threads(threads)
    job = contender.build()
    job.run()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    with profile(activities=activities) as profiler:
        job.run()
    with written_aside(path) as aside:
        profiler.export_chrome_trace(str(aside))
    own = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    return [(event.key, event.count, getattr(event, own)) for event in _operators(profiler.key_averages())]


def _operators(events: Any) -> list[Any]:
    """Operators alone: their kernels' time is theirs as well."""
    return [event for event in events if "::" in event.key]


def format_profile(name: str, events: Sequence[tuple[str, int, float]]) -> str:
    """A table of operators (name, calls, own microseconds): those with the most time, then the copies.

    Args:
        name: whose.
        events: in any order.
    """
    total = sum(microseconds for *_, microseconds in events)
    ranked = sorted(events, key=lambda event: -event[2])[:TOP]
    width = max([len(key) for key, *_ in ranked], default=0)
    lines = [f"{name}: {'operator':{width}}  share   own ms  calls"]
    indent = " " * (len(name) + 2)
    lines += [f"{indent}{k:{width}}  {100 * us / total:4.1f} %  {us / 1e3:7.2f}  {n:5}" for k, n, us in ranked]
    counts = {key: calls for key, calls, _ in events}
    return "\n".join([*lines, f"{indent}copies: " + ", ".join(f"{key} {counts.get(key, 0)}" for key in COPIES)])
