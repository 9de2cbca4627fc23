"""Reading checkpoint files without running anything in them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hiera_det.utils.nested import shown
from hiera_det.utils.one_line import one_line
from hiera_det.utils.regular import check_regular
from hiera_det.weights.pickles import load_data_pickle
from hiera_det.weights.tensorfiles import read_safetensors
from hiera_det.weights.unpickle.torchfile import read_torch_file

__all__ = ["check_numbers", "read_checkpoint", "some_keys", "state_dict_of"]

_KEYS = ("model_state", "model", "state_dict")  # under which files keep a state dict
_TENSORS = 100_000  # of a state dict
_LONGEST = 500  # characters of a tensor's name


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint on the CPU.

    Args:
        path: written by torch.save; ``.safetensors``; or ``.pkl``, a plain pickle of numpy arrays as detectron2's. Of
            all these nothing but tensors, arrays and plain values is admitted, and nothing in them is run.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it is no file but a folder, a named pipe or a device, or cannot be read.
        ValueError: the file is truncated, is no checkpoint, or holds more than tensors and plain values.
    """
    if not path.exists():
        raise FileNotFoundError(f"no checkpoint at {path}")
    check_regular(path)
    checkpoint = _read(path)
    if not isinstance(checkpoint, dict):
        raise ValueError(f"{path} holds a {type(checkpoint).__name__}, expected a dict with tensors")
    for key in set(_KEYS) & set(checkpoint):
        if not isinstance(checkpoint[key], dict):
            raise ValueError(f"{path}: {key!r} is a {type(checkpoint[key]).__name__}, expected a dict of tensors")
    return checkpoint


def _read(path: Path) -> Any:
    ending = path.suffix.lower()
    if ending == ".safetensors":
        return read_safetensors(path)
    if ending == ".pkl":
        return _tensors(load_data_pickle(path), path)
    try:
        return read_torch_file(path)
    except ValueError as error:
        raise ValueError(
            f"{path} ({path.stat().st_size} bytes) cannot be read as a checkpoint of tensors: it is truncated, or not"
            f" written by torch.save, or holds other objects ({one_line(error)})"
        ) from error


def _tensors(checkpoint: Any, path: Path) -> Any:
    """The same with tensors in place of the arrays in it, and in its state dicts."""
    if not isinstance(checkpoint, dict):
        return checkpoint
    state_dicts = {key: _converted(checkpoint[key], f"{path.name}: {key}: ") for key in _KEYS if key in checkpoint}
    return _converted({**checkpoint, **state_dicts}, f"{path.name}: ")


def _converted(values: Any, name: str) -> Any:
    if not isinstance(values, dict):
        return values
    return {
        key: _tensor(value, f"{name}{one_line(key)}") if isinstance(value, np.ndarray) else value
        for key, value in values.items()
    }


def _tensor(array: np.ndarray, name: str) -> Tensor:
    try:
        own = np.require(array, array.dtype.newbyteorder("="), ("C", "W"))
        return torch.from_numpy(own.reshape(array.shape))
    except TypeError as error:
        raise ValueError(f"{name} is an array of {array.dtype}, expected numbers") from error


def state_dict_of(checkpoint: Mapping[str, Any], source: str) -> dict[str, Tensor]:
    """The state dict in a checkpoint: under ``model_state``, ``model`` or ``state_dict``, or the checkpoint itself.

    Raises:
        ValueError: there is none, or it is not one of tensors by name.
    """
    state = next((checkpoint[key] for key in _KEYS if key in checkpoint), checkpoint)
    found = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    if not found:
        raise ValueError(
            f"{source} has the keys {some_keys(checkpoint)}; expected a state dict, by itself or under"
            f" {', '.join(map(repr, _KEYS))}"
        )
    if len(found) > _TENSORS:
        raise ValueError(f"{source} has {len(found)} tensors, expected at most {_TENSORS}")
    for key in found:
        if not isinstance(key, str) or len(key) > _LONGEST or not key.isprintable():
            raise ValueError(f"{source}: a tensor has the key {shown(key)}, expected names")
    return found


def some_keys(checkpoint: Mapping[Any, Any]) -> list[str]:
    """The first eight keys, for messages."""
    return sorted(one_line(key) for key in checkpoint)[:8]


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
