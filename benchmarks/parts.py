"""Where the time of a step goes, by module."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack

import torch
from torch import nn

__all__ = ["module_seconds"]


def module_seconds(modules: Mapping[str, nn.Module], step: Callable[[], object], times: int) -> dict[str, float]:
    """Mean seconds that each module's forward pass takes in a step, and the whole step, "total".

    The device is waited for around every module, so the total is above that of an undisturbed step.
    """
    seconds = dict.fromkeys(modules, 0.0)
    starts: dict[str, float] = {}

    def begin(name: str) -> None:
        starts[name] = _now()

    def end(name: str) -> None:
        seconds[name] += (_now() - starts[name]) / times

    with ExitStack() as hooks:
        for name, module in modules.items():
            hooks.enter_context(module.register_forward_pre_hook(lambda *_, name=name: begin(name)))
            hooks.enter_context(module.register_forward_hook(lambda *_, name=name: end(name)))
        start = _now()
        for _ in range(times):
            step()
        return {**seconds, "total": (_now() - start) / times}


def _now() -> float:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()
