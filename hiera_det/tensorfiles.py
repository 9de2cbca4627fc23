"""Tensors as a safetensors file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

__all__ = ["write_safetensors"]


def write_safetensors(state: Mapping[str, Tensor], path: Path) -> None:
    """Write a state dict, readable for whom other new files are: safetensors' own functions write for the owner alone.

    Args:
        state: its tensors share no memory.
        path: the file.
    """
    content = save({key: value.contiguous() for key, value in state.items()}, metadata={"format": "pt"})
    path.write_bytes(content)
