"""Tensors in files of torch.save: views of storages whose sizes are known, never larger than these."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hiera_det.weights.unpickle.limits import Limits
from hiera_det.weights.unpickle.machine import Maker
from hiera_det.weights.unpickle.plain import PLAIN, plain_names

__all__ = ["Storage", "TensorMaker", "is_plain_or_tensor"]

_KINDS = {  # of storages that have a type; the others' types stand in the tensor
    "BFloat16": torch.bfloat16,
    "Bool": torch.bool,
    "Byte": torch.uint8,
    "Char": torch.int8,
    "ComplexDouble": torch.complex128,
    "ComplexFloat": torch.complex64,
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "Int": torch.int32,
    "Long": torch.int64,
    "Short": torch.int16,
}
_UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)
_AXES = 64
_EMPTY = 1 << 24  # the other axes of a tensor without values


@dataclass(frozen=True, eq=False)
class Storage:
    """The values of tensors.

    Attributes:
        content: its bytes, as a tensor of bytes.
        dtype: of the values.
        count: of the values.
    """

    content: Tensor
    dtype: torch.dtype
    count: int


class TensorMaker:
    """Builds the tensors of one pickle.

    Attributes:
        names: makers of tensors and plain values, and torch's types, by module and name.
        storages: those that the pickle has named, by key.

    Args:
        limits: of the file.
        read: gives a storage's bytes as a tensor of bytes, by its key and their number.
    """

    def __init__(self, limits: Limits, read: Callable[[str, int], Tensor]) -> None:
        self._limits, self._read = limits, read
        self.storages: dict[str, Storage] = {}
        makers = {
            "_rebuild_tensor": self._tensor,
            "_rebuild_tensor_v2": self._tensor,
            "_rebuild_tensor_v3": self._tensor_of_type,
            "_rebuild_parameter": self._parameter,
            "_rebuild_parameter_with_state": self._parameter,
        }
        types = {name: value for name, value in vars(torch).items() if isinstance(value, torch.dtype)}
        self.names: dict[tuple[str, str], Any] = {
            **plain_names(limits),
            **{("torch._utils", name): Maker(name, make) for name, make in makers.items()},
            **{("torch", str(value).removeprefix("torch.")): value for value in types.values()},
            **{("torch", f"{name}Storage"): dtype for name, dtype in _KINDS.items()},
            ("torch.storage", "UntypedStorage"): torch.uint8,
            ("torch", "Size"): Maker("torch.Size", self._size),
            ("collections", "Counter"): Maker("collections.Counter", self._counter),
        }

    def stored(self, key: Any) -> Storage:
        """The storage that a persistent id names, read when it is named first.

        Raises:
            ValueError: it is no id of a storage, or the storage has another size.
        """
        match key:
            case ("storage", torch.dtype() as dtype, str(name), str(), int(count)):
                pass
            case ("storage", torch.dtype() as dtype, str(name), str(), int(count), None):  # before PyTorch 1.6
                pass
            case _:
                raise ValueError("it refers to an object outside of the file that is no storage")
        known = self.storages.get(name)
        if known is None:
            if count < 0:
                raise ValueError("a storage has a negative size")
            known = Storage(self._read(name, count * dtype.itemsize), dtype, count)
            self.storages[name] = known
        if (known.dtype, known.count) != (dtype, count):
            raise ValueError("a storage has two types or sizes")
        return known

    def build(self, target: Any, state: Any) -> None:
        """No value that the makers give has a state.

        Raises:
            ValueError: always.
        """
        raise ValueError(f"it sets the state of a {type(target).__name__}")

    def _tensor(self, arguments: tuple[Any, ...]) -> Tensor:
        match arguments:
            case (Storage() as storage, offset, size, stride):
                return self._view(storage, storage.dtype, storage.count, offset, size, stride)
            case (Storage() as storage, offset, size, stride, bool(), dict(), *metadata) if not any(metadata):
                return self._view(storage, storage.dtype, storage.count, offset, size, stride)
        raise ValueError("it has a tensor of an unknown form")

    def _tensor_of_type(self, arguments: tuple[Any, ...]) -> Tensor:
        match arguments:
            case (Storage() as storage, offset, size, stride, bool(), dict(), torch.dtype() as dtype, *metadata):
                if (dtype.is_floating_point or dtype in _UNSIGNED) and not any(metadata):
                    return self._view(storage, dtype, len(storage.content) // dtype.itemsize, offset, size, stride)
        raise ValueError("it has a tensor of an unknown form")

    def _view(self, storage: Storage, dtype: torch.dtype, room: int, offset: Any, size: Any, stride: Any) -> Tensor:
        sides, steps = _numbers(size), _numbers(stride)
        if len(sides) != len(steps) or type(offset) is not int or offset < 0:
            raise ValueError("a tensor has no size, stride and offset that fit one another")
        count = math.prod(sides)
        last = offset + sum((side - 1) * step for side, step in zip(sides, steps, strict=True))
        if count and (last >= room or count > room - offset):
            raise ValueError("a tensor is larger than what is stored of it; save it with .contiguous() or .clone()")
        if not count and math.prod(filter(None, sides)) > _EMPTY:
            raise ValueError("a tensor without values has a shape that is out of all proportion")
        self._limits.take_bytes(count * dtype.itemsize)
        if not count:
            return torch.empty(sides, dtype=dtype)
        return torch.empty(0, dtype=dtype).set_(storage.content.untyped_storage(), offset, sides, steps)

    def _parameter(self, arguments: tuple[Any, ...]) -> Tensor:
        match arguments:
            case (Tensor() as tensor, bool(), dict(), *_):
                return tensor
        raise ValueError("it has a parameter of an unknown form")

    def _size(self, arguments: tuple[Any, ...]) -> torch.Size:
        if len(arguments) != 1:
            raise ValueError("it has a torch.Size of an unknown form")
        return torch.Size(_numbers(arguments[0]))

    def _counter(self, arguments: tuple[Any, ...]) -> dict[Any, Any]:
        match arguments:
            case (dict() as counts,):
                return counts  # schedulers have their milestones in one
        raise ValueError("it has a collections.Counter of an unknown form")


def _numbers(sides: Any) -> tuple[int, ...]:
    if not isinstance(sides, tuple) or len(sides) > _AXES:
        raise ValueError(f"a tensor has a {type(sides).__name__} for its size, expected a tuple of at most {_AXES}")
    if not all(type(side) is int and 0 <= side < 2**63 for side in sides):
        raise ValueError("a tensor has a size or stride that is no number of 63 bits")
    return sides


def is_plain_or_tensor(value: Any) -> bool:
    """Whether it is a number, text, bytes, one of torch's types, or a tensor."""
    return type(value) in PLAIN or isinstance(value, Tensor | torch.Size | torch.dtype)
