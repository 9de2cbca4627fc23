"""What ranks have, brought together."""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["gather"]


def gather(share: Any, world_size: int) -> list[Any]:
    """The shares of all ranks, on rank 0; nothing on the others."""
    if world_size == 1:
        return [share]
    on_zero = torch.distributed.get_rank() == 0
    shares: list[Any] = [None] * world_size if on_zero else []
    torch.distributed.gather_object(share, shares if on_zero else None)
    return shares
