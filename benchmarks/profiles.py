"""Where the time of a step goes: by operator, and by module."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from torch import nn
from torch.profiler import ProfilerActivity, profile

from benchmarks.candidate import synchronize
from hiera_det.utils.files import atomic_write

__all__ = ["module_seconds", "profile_step"]

TOP = 15
COPY = "aten::copy_"  # clone and contiguous end there too


def profile_step(step: Callable[[], object], device: str, path: Path) -> str:
    """Profile one step and write a Chrome trace.

    Returns:
        The profiler's table of the operators with the most time of their own, and the number of copies.

    Raises:
        OSError: the trace cannot be written.
    """
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    with profile(activities=activities) as profiler:
        step()
    with atomic_write(path) as temporary:
        profiler.export_chrome_trace(str(temporary))
    operators = profiler.key_averages()
    own_time = f"self_{'device' if device == 'cuda' else 'cpu'}_time_total"
    copies = sum(operator.count for operator in operators if operator.key == COPY)
    return f"{operators.table(sort_by=own_time, row_limit=TOP)}\ncopies: {copies}\ntrace: {path}"


def module_seconds(
    modules: Mapping[str, nn.Module], step: Callable[[], object], times: int, device: str
) -> dict[str, float]:
    """Measure the mean seconds that each module's forward pass takes in a step, and the step itself ("total").

    It synchronizes with the device around every module, so "total" is above the time of an undisturbed step.
    """
    seconds = dict.fromkeys(modules, 0.0)
    starts: dict[str, float] = {}

    def now() -> float:
        synchronize(device)
        return time.perf_counter()

    def begin(name: str) -> None:
        starts[name] = now()

    def end(name: str) -> None:
        seconds[name] += (now() - starts[name]) / times

    with ExitStack() as hooks:
        for name, module in modules.items():
            hooks.enter_context(module.register_forward_pre_hook(lambda *_, name=name: begin(name)))
            hooks.enter_context(module.register_forward_hook(lambda *_, name=name: end(name)))
        start = now()
        for _ in range(times):
            step()
        return {**seconds, "total": (now() - start) / times}
