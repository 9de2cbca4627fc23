"""Memory that glibc keeps for the next pass, where it would give it back to the system."""

from __future__ import annotations

import os
from functools import cache

import torch

__all__ = ["keep_memory"]


@cache
def keep_memory() -> None:
    """Let glibc keep up to 62 MiB of freed memory, from the first call in a process on.

    glibc gives memory back once more is free than twice the largest tensor that it has seen freed, up to 32 MiB, and
    tensors of inference in pieces are small: one of 31 MiB, never touched, keeps thousands of pages from being fetched
    again in each pass (docs/performance.md). ``HIERA_DET_KEEP_MEMORY=0`` in the environment turns this off.
    """
    if os.environ.get("HIERA_DET_KEEP_MEMORY") != "0":
        torch.UntypedStorage(31 * 2**20, device="cpu")
