"""Floating-point operations of a step, and the rate of this machine's matrix products to hold them against."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch.utils.flop_counter import FlopCounterMode

from hiera_det.benchmark.contender import DTYPES, Contender, Job

__all__ = ["count_flops", "matrix_product"]

_SIDES = {"cpu": 2048, "cuda": 8192}  # large enough: a larger product is no faster


def count_flops(step: Callable[[], object]) -> int:
    """Floating-point operations of a step's matrix products, convolutions and attention, two for a multiply-add."""
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def matrix_product(dtype: str, device: str) -> Contender:
    """`torch.mm` of two large square matrices: what PyTorch makes of this machine (oneDNN's may be faster on a CPU)."""
    side = _SIDES[device]
    return Contender(f"{side} x {side}", "torch", "matrix product", partial(_build_product, side, dtype, device))


def _build_product(side: int, dtype: str, device: str) -> Job:
    a, b = torch.randn(2, side, side, device=device).to(DTYPES[dtype])

    def run() -> list[torch.Tensor]:
        torch.mm(a, b)
        return []

    return Job(run, counted=run)
