"""Where the time of a step goes, by operator."""

from __future__ import annotations

import multiprocessing as mp
import re
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.contender import Contender
from hiera_det.utils.files import atomic_write, make_folder

__all__ = ["format_profile", "profile_contender"]

TOP = 15
COPY = "aten::copy_"  # what clone and contiguous come down to


def profile_contender(contender: Contender, title: str, device: str, threads: int, folder: Path) -> str:
    """Profile one step, after one that warms up, in a process of its own.

    Args:
        contender: what to profile.
        title: of the case: part of the trace's name.
        device: "cpu" or "cuda".
        threads: of torch.
        folder: where a Chrome trace is written; it is made.

    Returns:
        A table of the operators with the most time of their own, and the number of copies.

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
    with atomic_write(path) as temporary:
        profiler.export_chrome_trace(str(temporary))
    events = [event for event in profiler.key_averages() if event.device_type == DeviceType.CPU]  # kernels' is theirs
    if device == "cuda":
        timed = [(event.key, event.count, event.self_device_time_total) for event in events]
        return [row for row in timed if row[2] > 0]
    return [(event.key, event.count, event.self_cpu_time_total) for event in events if "::" in event.key]


def format_profile(name: str, events: Sequence[tuple[str, int, float]]) -> str:
    """A table of operators (name, calls, own microseconds): those with the most time, then the number of copies.

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
    copies = sum(calls for key, calls, _ in events if key == COPY)
    return "\n".join([*lines, f"{indent}copies: {copies}"])
