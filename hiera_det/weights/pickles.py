"""Pickles of data from elsewhere, read without running what they name."""

from __future__ import annotations

import codecs
import collections
import pickle
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["load_data_pickle"]


def _allowed() -> dict[tuple[str, str], Any]:
    """What a pickle of plain data may name: numpy's constructors of arrays and numbers, and plain containers."""
    allowed: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): codecs.encode,  # bytes in protocol 2
        ("collections", "OrderedDict"): collections.OrderedDict,
    }
    for module in ("builtins", "__builtin__"):  # Python 3, Python 2
        allowed |= {(module, kind.__name__): kind for kind in (bytearray, bytes, complex, frozenset, set)}
    for home in ("numpy.core", "numpy._core"):  # numpy 1, numpy 2
        allowed[(f"{home}.multiarray", "_reconstruct")] = np.zeros(1).__reduce__()[0]
        allowed[(f"{home}.multiarray", "scalar")] = np.float64(1).__reduce__()[0]
        allowed[(f"{home}.numeric", "_frombuffer")] = np.zeros(1).__reduce_ex__(5)[0]
    return allowed


_ERRORS = (AttributeError, EOFError, ImportError, LookupError, MemoryError, OverflowError, TypeError, ValueError)
_BROKEN = (pickle.UnpicklingError, *_ERRORS)  # what a damaged pickle raises


class _DataUnpickler(pickle.Unpickler):
    allowed = _allowed()

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.allowed[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is not plain data") from None


def load_data_pickle(path: str | Path) -> Any:
    """Read a pickle that holds only numpy arrays, plain containers, numbers and strings.

    Nothing else is looked up, imported or called, so that a file from elsewhere cannot run code. Pickles that Python 2
    wrote are read with latin-1, as their numpy arrays need.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a complete pickle, or it names something else (a class, a function).
    """
    with open(path, "rb") as file:
        try:
            return _DataUnpickler(file, encoding="latin1").load()
        except _BROKEN as error:
            raise ValueError(
                f"{path} is not a pickle of arrays, containers, numbers and strings: {error or type(error).__name__}"
            ) from error
