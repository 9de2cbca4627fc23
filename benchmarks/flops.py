"""Floating-point operations of a step, and matrix products to compare their rate with."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.candidate import DTYPES, Candidate, Job

__all__ = ["count_flops", "matrix_product"]

_SIDES = {"cpu": 2048, "cuda": 8192}  # large enough: a larger product is no faster


def count_flops(step: Callable[[], object]) -> int:
    """Count the FLOPs of a step's matrix products, convolutions and attention; a multiply-add is two.

    What a fused kernel recomputes in the backward pass does not count, so that candidates with the same function have
    the same number with and without such a kernel.
    """
    with FlopCounterMode(display=False, custom_mapping=_FUSED_ATTENTION) as counter:
        step()
    return counter.get_total_flops()


def _attention(query: Sequence[int], key: Sequence[int], *_: Any, **__: Any) -> int:
    """Count the scores, and their product with the values; shapes are (B, heads, tokens, d)."""
    return 2 * 2 * math.prod(query) * key[-2]


def _attention_backward(_: Any, query: Sequence[int], key: Sequence[int], *__: Any, **___: Any) -> int:
    """Count the gradients of values, scores, queries and keys, but not the recomputed scores."""
    return 2 * _attention(query, key)


_KERNELS = ("flash_attention_for_cpu", "flash_attention", "efficient_attention", "cudnn_attention")
_FUSED_ATTENTION = {
    getattr(torch.ops.aten, f"_scaled_dot_product_{kernel}{ending}"): formula
    for kernel in _KERNELS
    for ending, formula in (("", _attention), ("_backward", _attention_backward))
}


def matrix_product(dtype: str, device: str) -> Candidate:
    """Return a candidate that multiplies two large square matrices by `torch.mm`."""
    side = _SIDES[device]
    return Candidate(f"{side} x {side}", "torch", "matrix product", partial(_build_product, side, dtype, device))


def _build_product(side: int, dtype: str, device: str) -> Job:
    a, b = torch.randn(2, side, side, device=device).to(DTYPES[dtype])

    def step() -> list[torch.Tensor]:
        torch.mm(a, b)
        return []

    return Job(step, counted=step)
