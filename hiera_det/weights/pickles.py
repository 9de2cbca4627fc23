"""Pickles of data from elsewhere, read without running what they name."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from hiera_det.utils.one_line import one_line
from hiera_det.utils.regular import read_regular
from hiera_det.weights.unpickle.arrays import ArrayMaker, is_plain
from hiera_det.weights.unpickle.limits import Limits
from hiera_det.weights.unpickle.machine import Machine
from hiera_det.weights.unpickle.nesting import check_nesting
from hiera_det.weights.unpickle.plain import plain_names

__all__ = ["load_data_pickle", "parse_data_pickle"]


def load_data_pickle(path: str | Path) -> Any:
    """Read a pickle that holds only numpy arrays, plain containers, numbers and strings.

    Nothing is looked up, imported or called, so that a file from elsewhere cannot run code, and no more is made than
    the file has bytes for. Pickles that Python 2 wrote are read with latin-1, as their numpy arrays need.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a complete pickle, or it names something else (a class, a function).
    """
    content = read_regular(path)
    try:
        return parse_data_pickle(content)
    except ValueError as error:
        raise ValueError(
            f"{path} is not a pickle of arrays, containers, numbers and strings: {one_line(error)}"
        ) from error


def parse_data_pickle(content: bytes) -> Any:
    """The value that a pickle stands for.

    Raises:
        ValueError: as of :func:`load_data_pickle`.
    """
    limits = Limits(len(content))
    arrays = ArrayMaker(limits)
    value = Machine(io.BytesIO(content), {**plain_names(limits), **arrays.names}, limits, build=arrays.build).load()
    arrays.check_finished()
    check_nesting(value, is_plain)
    return value
