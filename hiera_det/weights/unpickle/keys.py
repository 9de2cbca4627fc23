"""Keys of dicts and members of sets: what Python can hash without recursion, and in bounded time."""

from __future__ import annotations

from types import NoneType
from typing import Any

import numpy as np

from hiera_det.weights.unpickle.limits import Limits

__all__ = ["check_key"]

_SINGLE = (str, bytes, int, float, complex, bool, NoneType)
_PARTS = 100  # of a tuple as a key, with all that is in it


def check_key(value: Any, limits: Limits) -> None:
    """Check a key, and count it unless it is text.

    Python hashes a tuple by recursion that nothing stops, so that a deep one ends the process, and each tuple in it as
    often as it is there, which may be 2**50 times.

    Raises:
        ValueError: it is no text, number, or small tuple of these, or there are too many.
    """
    if type(value) in (str, bytes):
        return
    limits.take_key()
    left = [value]
    for _ in range(_PARTS):
        if not left:
            return
        part = left.pop()
        if type(part) in (tuple, frozenset):
            left += part
        elif type(part) not in _SINGLE and not isinstance(part, np.generic):
            raise ValueError(f"it has a {type(part).__name__} as a key, expected text, numbers or tuples of them")
    raise ValueError(f"it has a tuple of more than {_PARTS} parts as a key")
