"""Reading checkpoint files without running anything in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from hiera_det.weights.pickles import load_data_pickle

__all__ = ["check_numbers", "read_checkpoint", "state_dict_of"]

_KEYS = ("model_state", "model", "state_dict")  # under which files keep a state dict


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint on the CPU.

    Args:
        path: written by torch.save, read with ``weights_only=True``; ``.safetensors``; or ``.pkl``, a plain pickle of
            numpy arrays as detectron2's, of which nothing but arrays and plain values is admitted.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is truncated, is no checkpoint, or holds more than tensors and plain values.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    checkpoint = _read(path)
    if not isinstance(checkpoint, dict):
        raise ValueError(f"{path} holds a {type(checkpoint).__name__}, expected a dict with tensors")
    for key in set(_KEYS) & set(checkpoint):
        if not isinstance(checkpoint[key], dict):
            raise ValueError(f"{path}: {key!r} is a {type(checkpoint[key]).__name__}, expected a dict of tensors")
    return checkpoint


def _read(path: Path) -> Any:
    size = f"{path} ({path.stat().st_size} bytes)"
    ending = path.suffix.lower()
    if ending == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise ValueError(
                f"{size} cannot be read as safetensors: it is truncated or no such file ({error})"
            ) from error
    if ending == ".pkl":
        try:
            return _tensors(load_data_pickle(path), path.name)
        except RecursionError as error:
            raise ValueError(f"{size} holds dicts within one another without end, expected a state dict") from error
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # on damaged files torch's unpickler raises nearly anything, IndexError too
        raise ValueError(
            f"{size} cannot be read as a checkpoint of tensors: it is truncated, or not written by torch.save, or holds"
            f" other objects ({_reason(error)})"
        ) from error


def _reason(error: Exception) -> str:
    """What torch.load says, without its advice to run what is in the file."""
    lines = [line.strip() for line in str(error).splitlines() if not re.search(r"(?i)weights.only", line)]
    return next(filter(None, lines), repr(error)).partition(" Please use")[0]


def _tensors(value: Any, name: str) -> Any:
    """Numpy arrays in nested dicts as tensors; `name` is for the message."""
    if isinstance(value, dict):
        return {key: _tensors(entry, f"{name}: {key}") for key, entry in value.items()}
    if not isinstance(value, np.ndarray):
        return value
    try:
        return torch.from_numpy(np.ascontiguousarray(value, value.dtype.newbyteorder("=")).reshape(value.shape))
    except TypeError as error:
        raise ValueError(f"{name} is an array of {value.dtype}, expected numbers") from error


def state_dict_of(checkpoint: Mapping[str, Any], source: str) -> dict[str, Tensor]:
    """The state dict in a checkpoint: under ``model_state``, ``model`` or ``state_dict``, or the checkpoint itself.

    Raises:
        ValueError: there is none, or it is not one of dense tensors by name.
    """
    state = next((checkpoint[key] for key in _KEYS if key in checkpoint), checkpoint)
    found = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    if not found:
        raise ValueError(
            f"{source} has the keys {sorted(map(str, checkpoint))[:8]}; expected a state dict, by itself or under"
            f" {', '.join(map(repr, _KEYS))}"
        )
    for key, value in found.items():
        if not isinstance(key, str):
            raise ValueError(f"{source}: a tensor has the key {key!r}, expected names")
        if value.is_meta or value.layout is not torch.strided:
            kind = "without numbers, on the device meta" if value.is_meta else f"of layout {value.layout}"
            raise ValueError(f"{source}: {key} is {kind}; expected a dense tensor on the CPU")
    return found


def check_numbers(state: Mapping[str, Tensor], source: str) -> None:
    """Check that all tensors are what weights are: floating-point numbers, none of them NaN or infinite.

    Raises:
        ValueError: some are not; the message names them.
    """
    wrong = {key: str(value.dtype) for key, value in state.items() if not value.is_floating_point()}
    for key, value in state.items():
        if key not in wrong and not value.is_meta and not value.float().isfinite().all():
            wrong[key] = "NaN or infinite"
    if wrong:
        raise ValueError(
            f"{source}: {len(wrong)} tensors are no weights, expected finite floating-point numbers:"
            + "".join(f"\n  {key}: {what}" for key, what in list(wrong.items())[:40])
        )
