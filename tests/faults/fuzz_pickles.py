"""Pickles of every form against the readers of weights: a value or a ValueError comes of each, and nothing else.

``python -m tests.faults.fuzz_pickles --seconds 600`` tries new ones all the time, and prints how many.
"""

from __future__ import annotations

import argparse
import math
import pickle
import pickletools
import random
import resource
import struct
import tempfile
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from hiera_det.weights.pickles import parse_data_pickle
from hiera_det.weights.unpickle.torchfile import read_torch_file
from tests.faults.corpus.torch_files import Called, Stored, archive, crafted, legacy, saved, tensor

__all__ = ["NAMES", "tried", "try_out"]

tried: Counter[str] = Counter()  # examples by property, and how many of them gave a value

_RECONSTRUCT = np.zeros(1).__reduce__()[0]
_SCALAR = np.float64(1).__reduce__()[0]
_FROM_BUFFER = np.zeros(1).__reduce_ex__(5)[0]
_ROOM = 8 << 30  # bytes of address space for a run of its own


# --- values

_DTYPES = ["b1", "i1", "<i2", ">i2", "i4", ">i8", "u1", ">u4", "u8", "f2", "<f4", ">f4", "<f8", ">f8", "c8", ">c16"]
_DTYPES += ["f16", "S3", "<U2", ">U3"]


@st.composite
def _arrays(draw: st.DrawFn) -> np.ndarray:
    shape = draw(arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    dtype = np.dtype(draw(st.sampled_from(_DTYPES)))
    array = np.arange(int(np.prod(shape))).astype(dtype).reshape(shape)
    view = draw(st.sampled_from(["", "columns", "reversed", "axes", "every second"]))
    if view == "columns":
        return np.asfortranarray(array)
    if view == "axes":
        return array.transpose(draw(st.permutations(range(array.ndim))))
    if array.ndim and view:
        return array[::-1] if view == "reversed" else array[..., ::2]
    return array


_NUMBERS = st.sampled_from([np.float32(0.25), np.float64(1e300), np.int8(-3), np.uint64(2**64 - 1), np.bool_(True)])
_OTHER_NUMBERS = st.sampled_from([np.complex64(1j), np.str_("ü"), np.str_(""), np.bytes_(b"x"), np.longdouble(0.5)])
_TEXT = st.text(st.characters(exclude_categories=[]), max_size=8)  # halves of characters too
_KEYS = _TEXT | st.integers(-(2**70), 2**70) | st.binary(max_size=4) | st.booleans() | st.none()
_SINGLE = (
    _KEYS
    | st.floats()
    | st.complex_numbers(allow_nan=False)
    | st.binary(max_size=300)
    | st.text(max_size=300)
    | st.binary(max_size=9).map(bytearray)
    | st.integers(-(2**2000), 2**2000)
    | _NUMBERS
    | _OTHER_NUMBERS
)
_OBJECTS = st.lists(_TEXT | st.none() | st.integers(), min_size=4, max_size=4).map(
    lambda values: np.array([*values, None], dtype=object)[:4].reshape(2, 2)
)


def _containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    shared = inner.map(lambda value: [value, value, {"again": value}])
    keys = _KEYS | st.tuples(_KEYS, st.frozensets(_KEYS, max_size=2))
    return (
        st.lists(inner, max_size=5)
        | st.tuples(inner, inner)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys, inner, max_size=5)
        | st.dictionaries(_TEXT, inner, max_size=4).map(OrderedDict)
        | st.sets(keys, max_size=4)
        | st.frozensets(_KEYS, max_size=4)
        | shared
    )


_VALUES = st.recursive(_SINGLE | _arrays() | _OBJECTS, _containers, max_leaves=12)
_PROTOCOLS = st.integers(0, pickle.HIGHEST_PROTOCOL)


def _same(one: Any, other: Any) -> bool:
    """Whether values are of the same types and equal, NaN and the memory's order included."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray | np.generic):
        if one.dtype != other.dtype or one.shape != other.shape:
            return False
        if isinstance(one, np.ndarray) and one.flags != other.flags:
            return False
        return one.tobytes() == other.tobytes() if not one.dtype.hasobject else one.tolist() == other.tolist()
    if isinstance(one, dict):
        return list(one) == list(other) and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return one == other or (one != one and other != other)


# --- streams

_NAMES = [
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
    ("_codecs", "encode"),
    ("collections", "OrderedDict"),
    ("builtins", "set"),
    ("__builtin__", "bytearray"),
    ("builtins", "complex"),
    ("builtins", "eval"),
    ("posix", "system"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch", "FloatStorage"),
]
_COUNTS = st.sampled_from([0, 1, 2, 3, 5, 127, 128, 255, 256, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1])
_TEXTS = st.sampled_from([b"", b"a", b"latin1", b"f8", b"O", b"<", b"b", b"C", b"\xc3\xbc", b"\xed\xa0\x80", b"\xff\n"])
_DECIMALS = st.sampled_from([b"0", b"1", b"00", b"01", b"-1", b"9" * 5000, b"x", b"", b"1L", b"1_0", b"4294967296"])
_WIDTHS = {"1": "<B", "4": "<I", "8": "<Q"}


def _counted(width: str) -> st.SearchStrategy[bytes]:
    def with_length(content: bytes, lie: int | None) -> bytes:
        count = len(content) if lie is None else lie % (1 << 8 * struct.calcsize(width))
        return struct.pack(width, count) + content

    return st.builds(with_length, _TEXTS | st.binary(max_size=20), st.none() | st.none() | _COUNTS)


def _argument(name: str) -> st.SearchStrategy[bytes]:
    """Bytes of an argument, by its name in ``pickletools``; not all are valid."""
    if name in ("uint1", "uint2", "int4", "uint4", "uint8", "float8"):
        size = {"uint1": 1, "uint2": 2, "uint8": 8, "float8": 8}.get(name, 4)
        small = st.integers(0, 5).map(lambda value: value.to_bytes(size, "little"))
        return small | st.binary(min_size=size, max_size=size) | st.just(b"\xff" * size)
    if name == "stringnl_noescape_pair":
        return st.sampled_from([f"{module}\n{attribute}\n".encode() for module, attribute in _NAMES])
    if name.endswith("nl") or name == "stringnl_noescape" or name.startswith(("decimalnl", "floatnl")):
        lines = _DECIMALS | _TEXTS | st.sampled_from([b"'a'", b'"\\xff"', b"'\\", b"1e400", b"nan"])
        return lines.map(lambda line: line + b"\n")
    return _counted(_WIDTHS[name[-1]])


_INSTRUCTIONS = st.one_of(
    *(
        _argument(opcode.arg.name).map(lambda argument, code=opcode.code: code.encode("latin-1") + argument)
        if opcode.arg
        else st.just(opcode.code.encode("latin-1"))
        for opcode in pickletools.opcodes
    )
)
_PIECES = st.builds(lambda value, protocol: pickle.dumps(value, protocol)[:-1], _VALUES, _PROTOCOLS)  # without its end
_STREAMS = st.lists(_INSTRUCTIONS | _INSTRUCTIONS | _PIECES, max_size=40).map(lambda parts: b"".join(parts) + b".")


@st.composite
def _mutated(draw: st.DrawFn, pickles: st.SearchStrategy[bytes]) -> bytes:
    content = bytearray(draw(pickles))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(content) - 1, 0)))
        what = draw(st.sampled_from(["change", "insert", "delete", "double", "instruction"]))
        length = draw(st.integers(1, 12))
        if what == "change":
            content[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
        elif what == "insert":
            content[at:at] = draw(st.binary(min_size=1, max_size=8))
        elif what == "delete":
            del content[at : at + length]
        elif what == "double":
            content[at:at] = content[at : at + length]
        else:
            content[at:at] = draw(_INSTRUCTIONS)
    return bytes(content)


# --- arrays and tensors that their makers would refuse


class _Array:
    """Pickled as an array's constructor, arguments and state."""

    def __init__(self, *parts: Any) -> None:
        self.parts = parts

    def __reduce__(self) -> tuple[Any, ...]:
        return self.parts


_ODD = st.sampled_from([0, 1, 2, 4, -1, 8, 2**31, 2**62, 2**64, 10**30, None, True, 1.0, "x", b"x", ()])
_SHAPES = st.lists(_ODD | st.integers(0, 3), max_size=4).map(tuple) | st.just((0,) * 40) | _ODD
_SIZES = {"b1": 1, "i1": 1, "f4": 4, "f8": 8, "c16": 16, "O8": 8, "O": 8, "V8": 8, "M8[s]": 8, "U2": 8, "S0": 0}
_SIZES |= {"f12": 12, "U0": 0, "U999999999": 1, "i3": 3, "(2,)f4": 8, "f4,f4": 8}
_STATES = st.tuples(
    st.sampled_from([3, 4, "x"]),
    st.sampled_from(["<", ">", "|", "=", "!", None, 0]),
    st.none() | _ODD,
    st.none() | st.just(("a",)),
    st.none() | st.just({"a": (np.dtype("O"), 0)}),
    *([st.just(-1) | _ODD] * 3),
) | st.tuples(*([_ODD] * 9))
_USUAL = st.just((3, "<", None, None, None, -1, -1, 0))


@st.composite
def _hostile_arrays(draw: st.DrawFn) -> _Array:
    """An array in which most is as it should be, so that what is odd is reached."""

    def often(usual: Any, other: st.SearchStrategy[Any]) -> Any:
        return draw(other) if draw(st.integers(0, 7)) == 0 else usual

    spec = often(draw(st.sampled_from(list(_SIZES))), _ODD)
    dtype = _Array(np.dtype, (spec, False, True), often(draw(_USUAL), _STATES))
    shape = often(draw(st.lists(st.integers(0, 3), max_size=3).map(tuple)), _SHAPES)
    sides = [side for side in shape if isinstance(side, int)] if isinstance(shape, tuple) else []
    size = min(max(math.prod(sides), 0), 99) * _SIZES.get(str(spec), 1)
    content = bytes(range(size)) if size < 256 else bytes(size)
    usual = draw(st.sampled_from([content, bytearray(content)]))
    if str(spec).startswith("O"):
        usual = [None] * (size // 8)
    content = often(usual, st.binary(max_size=64) | st.lists(_TEXT | st.none(), max_size=4) | _ODD)
    kind = draw(st.sampled_from(["state", "number", "buffer", "axes"]))
    if kind == "number":
        return _Array(_SCALAR, (dtype, content))
    if kind == "buffer":
        return _Array(_FROM_BUFFER, (content, dtype, shape, often("C", st.sampled_from(["F", "K", "A"]))))
    if kind == "axes":
        axes = often(tuple(range(len(sides))), _SHAPES)
        return _Array(_FROM_BUFFER, (content, dtype, shape, "K", axes))
    begin = often((np.ndarray, (0,), b"b"), st.tuples(st.just(np.ndarray), _SHAPES, st.just(b"b")))
    return _Array(_RECONSTRUCT, begin, (often(1, _ODD), shape, dtype, often(False, _ODD), content))


_HOSTILE = st.builds(
    lambda values, protocol: pickle.dumps({f"{number}": value for number, value in enumerate(values)}, protocol),
    st.lists(_hostile_arrays(), min_size=1, max_size=3),
    _PROTOCOLS,
)


@st.composite
def _hostile_tensors(draw: st.DrawFn) -> Called:
    def often(usual: Any, other: st.SearchStrategy[Any]) -> Any:
        return draw(other) if draw(st.integers(0, 7)) == 0 else usual

    kinds = st.sampled_from([torch.HalfStorage, torch.UntypedStorage, OrderedDict])
    stored = Stored(often(4, _ODD), often("0", _ODD), often(torch.FloatStorage, kinds), often("cpu", _ODD))
    small = draw(st.lists(st.integers(0, 3), max_size=3).map(tuple))
    size, stride = often(small, _SHAPES), often(tuple(draw(st.integers(0, 3)) for _ in small), _SHAPES)
    return tensor(size, stride, often(draw(st.integers(0, 3)), _ODD), stored)


_STATE_DICTS = st.dictionaries(_TEXT, _SINGLE.filter(lambda value: not isinstance(value, np.generic)), max_size=3).map(
    lambda values: {**values, "w": torch.arange(6.0).reshape(2, 3).T}
)
_FILES = (
    st.dictionaries(_TEXT, _hostile_tensors(), min_size=1, max_size=3).map(crafted)
    | _mutated(st.builds(saved, _STATE_DICTS) | st.builds(legacy, _STATE_DICTS))
    | st.builds(archive, _STREAMS)
)


# --- properties


def _outcome(name: str, read: Any, content: Any) -> Any:
    tried[name] += 1
    try:
        value = read(content)
    except ValueError as error:
        str(error).encode()  # it can be printed
        return error
    tried[f"{name}: values"] += 1
    repr(value)  # it is not nested without end
    return value


def _read_file(content: bytes) -> Any:
    with tempfile.NamedTemporaryFile(suffix=".pth") as file:
        file.write(content)
        file.flush()
        return read_torch_file(Path(file.name))


def _valid(example: tuple[Any, int]) -> None:
    content = pickle.dumps(*example)
    found, expected = _outcome("valid", parse_data_pickle, content), pickle.loads(content)
    assert _same(found, expected), f"{found!r} in place of {expected!r}"


def _of(name: str, read: Callable[[bytes], Any]) -> Callable[[bytes], None]:
    def ends_well(content: bytes) -> None:
        _outcome(name, read, content)

    return ends_well


_PROPERTIES: dict[str, tuple[Callable[[Any], None], st.SearchStrategy[Any]]] = {
    # What Python pickles is read as Python reads it.
    "valid": (_valid, st.tuples(_VALUES, _PROTOCOLS)),
    # Instructions in any order, with any arguments.
    "streams": (_of("streams", parse_data_pickle), _STREAMS),
    # Pickles with a few bytes changed.
    "damaged": (
        _of("damaged", parse_data_pickle),
        _mutated(_PIECES.map(lambda content: content + b".") | _HOSTILE),
    ),
    # Arrays of odd types, shapes and states.
    "hostile": (_of("hostile", parse_data_pickle), _HOSTILE),
    # Files of torch.save, damaged, and with tensors and instructions that it does not write.
    "files": (_of("files", _read_file), _FILES),
}
NAMES = tuple(_PROPERTIES)


def try_out(name: str, examples: int, number: int | None = None) -> None:
    """Try examples of a property.

    Args:
        name: of :data:`NAMES`.
        examples: how many.
        number: of the seed; None: the same examples each time.
    """
    function, examples_of = _PROPERTIES[name]
    test = given(examples_of)(function)
    if number is not None:
        test = seed(number)(test)
    settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=number is None,
        suppress_health_check=list(HealthCheck),
    )(test)()


def main() -> None:
    """Try new pickles until the time is over."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    end = time.monotonic() + parser.parse_args().seconds
    resource.setrlimit(resource.RLIMIT_AS, (_ROOM, _ROOM))
    while time.monotonic() < end:
        for name in NAMES:
            try_out(name, 500, random.getrandbits(64))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"{sum(tried[name] for name in NAMES)} pickles: each a value or one line, {peak} MiB at most")
    for name in NAMES:
        print(f"  {name}: {tried[name]}, of which {tried[f'{name}: values']} are values")


if __name__ == "__main__":
    main()
