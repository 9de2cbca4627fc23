"""Tensors as a safetensors file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

__all__ = ["write_safetensors"]


def write_safetensors(state: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write tensors, readable for whom other new files are: safetensors' own function writes for the owner alone.

    Args:
        state: tensors by name, which share no memory.
        path: the file.
        metadata: of the file's header; transformers reads only files with ``{"format": "pt"}``.

    Raises:
        OSError: it cannot be written, for want of room for example.
    """
    path.touch()
    mode = path.stat().st_mode
    try:
        save_file({key: value.contiguous() for key, value in state.items()}, path, metadata)
    except SafetensorError as error:  # its only way to say that the disk is full
        raise OSError(str(error)) from error
    path.chmod(mode)
