"""Numpy's arrays and numbers in pickles: built here, after their sizes are compared with the bytes that are there."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from hiera_det.utils.nested import shown
from hiera_det.weights.unpickle.limits import Limits
from hiera_det.weights.unpickle.machine import Maker
from hiera_det.weights.unpickle.plain import PLAIN

__all__ = ["ArrayMaker", "is_plain"]

_KINDS = re.compile(r"b1|[iu][1248]|f(2|4|8|12|16)|c(8|16|24|32)|[SU]\d{1,9}|O8?", re.ASCII)
_AXES = 32
_EMPTY = 1 << 24  # the other axes of an array without values


@dataclass
class _Type:
    """A dtype as the file tells it: what of numpy has names or fields is never made from what stands there."""

    dtype: np.dtype[Any]


class ArrayMaker:
    """Builds the arrays and numpy's numbers of one pickle.

    Attributes:
        names: makers of these by module and name, of numpy 1 and 2.

    Args:
        limits: of the file.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._unfinished: dict[int, np.ndarray] = {}  # whose state has still to come
        ndarray = Maker("numpy.ndarray", self._no_call)
        self.names = {("numpy", "ndarray"): ndarray, ("numpy", "dtype"): Maker("numpy.dtype", self._dtype)}
        for home in ("numpy.core", "numpy._core"):
            self.names[f"{home}.multiarray", "_reconstruct"] = Maker("_reconstruct", self._begun)
            self.names[f"{home}.multiarray", "scalar"] = Maker("scalar", self._scalar)
            self.names[f"{home}.numeric", "_frombuffer"] = Maker("_frombuffer", self._of_buffer)

    def build(self, target: Any, state: Any) -> None:
        """Put a state into an array, or a dtype, that one of the makers gave.

        Raises:
            ValueError: it is of another form, of other than plain values, or of another number of bytes.
        """
        if isinstance(target, _Type):
            self._order(target, state)
        elif self._unfinished.pop(id(target), None) is not None:
            self._finish(target, state)
        else:
            raise ValueError(f"it sets the state of a {type(target).__name__}")

    def check_finished(self) -> None:
        """Check that every array has its values.

        Raises:
            ValueError: one has none.
        """
        if self._unfinished:
            raise ValueError(f"{len(self._unfinished)} arrays have no values")

    def _no_call(self, _: tuple[Any, ...]) -> Any:
        raise ValueError("it calls numpy.ndarray")

    def _dtype(self, arguments: tuple[Any, ...]) -> _Type:
        match arguments:
            case (str(kind), 0 | 1, 0 | 1) if _KINDS.fullmatch(kind):  # align and copy, numbers in old files
                try:
                    return _Type(np.dtype(kind))
                except TypeError as error:  # long doubles are not of the same size on all machines
                    raise ValueError(f"its numbers of type {kind} are unknown on this machine") from error
        kind = shown(arguments[0]) if arguments and isinstance(arguments[0], str) else "an unknown form"
        raise ValueError(f"it has an array of other than plain numbers: of {kind}")

    def _order(self, target: _Type, state: Any) -> None:
        match state:
            case (int(), "<" | ">" | "=" | "|" as order, None, None, None, int(), int(), int()):
                target.dtype = target.dtype.newbyteorder(order)
            case _:
                raise ValueError("it has an array with fields, or of other than plain numbers")

    def _begun(self, arguments: tuple[Any, ...]) -> np.ndarray:
        match arguments:
            case (Maker(name="numpy.ndarray"), (0,), b"b" | "b"):
                array = np.empty(0, np.int8)
                self._unfinished[id(array)] = array
                return array
        raise ValueError("it begins an array in an unknown way")

    def _finish(self, array: np.ndarray, state: Any) -> None:
        match state:
            case (1, tuple(shape), _Type(dtype=dtype), 0 | 1 as by_columns, bytes() | str() | list() as content):
                if isinstance(content, str):  # of Python 2
                    self._limits.take_bytes(len(content))
                    content = content.encode("latin-1")
                if dtype.hasobject:
                    self._check_objects(shape, content)
                else:
                    self._check_size(shape, dtype, content)
                # Numpy's own, so that byte orders and memory are as numpy has them: all of the state is checked, and
                # of it only numbers and bytes come from the file.
                array.__setstate__((1, shape, dtype, bool(by_columns), content))  # type: ignore[arg-type]
            case _:
                raise ValueError("the state of an array is of another form")

    def _scalar(self, arguments: tuple[Any, ...]) -> Any:
        match arguments:
            case (_Type(dtype=dtype), bytes() | str() as content) if not dtype.hasobject:
                content = content.encode("latin-1") if isinstance(content, str) else content
                self._check_size((), dtype, content)
                return np.frombuffer(content, dtype)[0] if content else dtype.type()
        raise ValueError("it has a number of numpy of another form")

    def _of_buffer(self, arguments: tuple[Any, ...]) -> np.ndarray:
        axes: tuple[Any, ...] = ()
        match arguments:
            case (content, _Type(dtype=dtype), tuple(shape), "C" | "F" as order):
                pass
            case (content, _Type(dtype=dtype), tuple(shape), "K", tuple(axes)) if _is_order(axes, len(shape)):
                order = "C"
            case _:
                raise ValueError("it has an array of another form")
        if dtype.hasobject:
            raise ValueError("it has an array of objects in a buffer")
        self._check_size(shape, dtype, content)
        array = np.frombuffer(content, dtype).reshape(shape, order=order)
        return array.transpose(axes) if axes else array

    def _check_size(self, shape: tuple[Any, ...], dtype: np.dtype[Any], content: Any) -> None:
        if not isinstance(content, bytes | bytearray):
            raise ValueError(f"an array of {dtype} has a {type(content).__name__} for its values, expected bytes")
        count = _count(shape)
        if len(content) != count * dtype.itemsize:
            raise ValueError(f"an array of {dtype} has {len(content)} bytes, which is not what its shape needs")
        self._limits.take_bytes(max(len(content), dtype.itemsize))  # numpy has room for one value at least
        if not dtype.itemsize:  # of texts without letters
            self._limits.take_values(count)

    def _check_objects(self, shape: tuple[Any, ...], content: Any) -> None:
        if not isinstance(content, list) or len(content) != _count(shape):
            raise ValueError("an array of objects has another number of them than its shape")
        self._limits.take_values(len(content))
        if not all(type(one) in PLAIN for one in content):  # others may lie in one another too deep to be freed
            raise ValueError("an array of objects holds others than text and numbers")


def _count(shape: tuple[Any, ...]) -> int:
    """The number of values of a shape."""
    if len(shape) > _AXES or not all(type(side) is int and side >= 0 for side in shape):
        raise ValueError(f"an array has a shape of {len(shape)} axes that are no sizes")
    count = math.prod(shape)
    if not count and math.prod(filter(None, shape)) > _EMPTY:
        raise ValueError("an array without values has a shape that is out of all proportion")
    return count


def _is_order(axes: tuple[Any, ...], count: int) -> bool:
    return all(type(axis) is int for axis in axes) and sorted(axes) == [*range(count)]


def is_plain(value: Any) -> bool:
    """Whether it is a number, text, bytes, or an array of them."""
    return type(value) in PLAIN or isinstance(value, np.ndarray | np.generic)
