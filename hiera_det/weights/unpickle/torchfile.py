"""Files of torch.save, zipped or of before PyTorch 1.6, read without its unpickler.

That one recurses and allocates as a file says, ``weights_only`` or not: a deep tuple as a key ends the process.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hiera_det.utils.regular import open_regular
from hiera_det.weights.unpickle.archive import Archive
from hiera_det.weights.unpickle.limits import Limits
from hiera_det.weights.unpickle.machine import Machine
from hiera_det.weights.unpickle.nesting import check_nesting
from hiera_det.weights.unpickle.tensors import TensorMaker, is_plain_or_tensor

__all__ = ["read_torch_file"]

_ZIP = b"PK\x03\x04"
_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001  # of files before PyTorch 1.6


def read_torch_file(path: Path) -> Any:
    """Read what torch.save wrote: tensors and plain values, in dicts and lists.

    Tensors are on the CPU and have no gradient, parameters too.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, of another kind, holds other objects, or asks for more memory than it has bytes.
    """
    with open_regular(path) as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        limits = Limits(size)
        if file.read(len(_ZIP)) == _ZIP:
            value = _read_zipped(Archive(file, size), limits)
        else:
            file.seek(0)
            value = _read_legacy(file.read(), limits)
    check_nesting(value, is_plain_or_tensor)
    return value


def _read_zipped(archive: Archive, limits: Limits) -> Any:
    if archive.read("byteorder", missing=b"little") != sys.byteorder.encode():
        raise ValueError("it was written on a machine of another byte order; convert it there to safetensors")
    tensors = TensorMaker(limits, lambda key, size: archive.read_tensor(f"data/{key}", size))
    return _load(io.BytesIO(archive.read("data.pkl")), tensors, limits)


def _read_legacy(content: bytes, limits: Limits) -> Any:
    """Pickles one behind another, then the storages' bytes, each behind its number of values."""
    room = len(content)

    def make_room(_: str, size: int) -> Tensor:
        nonlocal room
        room -= size
        if room < 0:
            raise ValueError("its storages are larger than the file")
        return torch.empty(size, dtype=torch.uint8)

    tensors, stream = TensorMaker(limits, make_room), io.BytesIO(content)
    if _load(stream, tensors, limits) != _MAGIC or _load(stream, tensors, limits) != _VERSION:
        raise ValueError("it does not begin as a file of torch.save")
    _load(stream, tensors, limits)  # of the machine that wrote it
    value, keys = _load(stream, tensors, limits), _load(stream, tensors, limits)
    left = dict(tensors.storages)
    for key in keys if isinstance(keys, list) else []:
        storage = left.pop(key, None) if isinstance(key, str) else None
        if storage is None or stream.read(8) != storage.count.to_bytes(8, "little"):
            raise ValueError("a storage has another size than its tensors say, or none has its name")
        if stream.readinto(storage.content.numpy().data) != len(storage.content):
            raise ValueError("it ends within a storage")
    if left:
        raise ValueError(f"{len(left)} storages are not there")
    return value


def _load(stream: io.BytesIO, tensors: TensorMaker, limits: Limits) -> Any:
    return Machine(stream, tensors.names, limits, build=tensors.build, stored=tensors.stored).load()
