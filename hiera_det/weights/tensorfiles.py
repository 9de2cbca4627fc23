"""Tensors in safetensors files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from hiera_det.utils.one_line import one_line
from hiera_det.utils.regular import open_regular

__all__ = ["read_safetensors", "write_safetensors"]

_HEADER = 16 << 20  # bytes; the header of a model of a thousand tensors has a hundredth


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is truncated, or no such file.
    """
    with open_regular(path) as file:
        header = int.from_bytes(file.read(8), "little")
    try:
        if header > _HEADER:
            raise ValueError(f"its header has {header} bytes, expected at most {_HEADER}")
        return load_file(path)
    except Exception as error:  # the library's own, and for what the header says also torch's
        raise ValueError(
            f"{path} ({path.stat().st_size} bytes) cannot be read as safetensors: it is truncated or no such file"
            f" ({one_line(error)})"
        ) from error


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
