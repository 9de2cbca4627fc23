"""Pickles from elsewhere: data comes through, anything else is refused and not run."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from hiera_det.weights.pickles import load_data_pickle, parse_data_pickle


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_containers_of_every_protocol(tmp_path: Path, protocol: int) -> None:
    data = {
        "video,0902": np.arange(10.0).reshape(2, 5),
        "column order": np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
        "empty": np.zeros((0, 5), np.float32),
        "plain": [1, 2.5, "ü", b"\xff", None, True, 1j, (1, {2}), frozenset({3}), OrderedDict(a=1)],
        "scalar": np.float32(0.25),
        "names": np.array(["a", None], dtype=object),
    }
    path = tmp_path / "data.pkl"
    path.write_bytes(pickle.dumps(data, protocol=protocol))
    read = load_data_pickle(path)
    assert read.keys() == data.keys()
    for key, value in data.items():
        assert type(read[key]) is type(value)
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(read[key], value)
    assert read["column order"].dtype == np.int16
    assert (read["plain"], read["scalar"]) == (data["plain"], data["scalar"])


BASE = np.arange(24).reshape(2, 3, 4)
VIEWS = {
    "whole": BASE,
    "columns": np.asfortranarray(BASE),
    "turned": BASE.transpose(1, 2, 0),
    "part": BASE[:, ::2, 1:],
    "reversed": BASE[::-1],
    "empty": BASE[:0],
    "single": BASE[0, 0, 0, None].reshape(()),
    "large": np.arange(3000).reshape(50, 60),
}
TYPES = ["b1", "i1", "<i2", ">i2", "<i4", ">i8", "u1", ">u4", "<u8", "f2", "<f4", ">f4", "<f8", ">f8"]
TYPES += ["f16", "c8", ">c16", "S3", "<U2", ">U3"]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("view", VIEWS)
def test_arrays_are_as_numpy_reads_them(view: str, protocol: int) -> None:
    for kind in TYPES:
        array = VIEWS[view].astype(kind)
        array.flags.writeable = kind != "b1"
        content = pickle.dumps([array, array.flat[0] if array.size else None], protocol)
        (read, number), (expected, expected_number) = parse_data_pickle(content), pickle.loads(content)
        assert (type(number), number) == (type(expected_number), expected_number)
        assert (read.dtype, read.shape, read.strides) == (expected.dtype, expected.shape, expected.strides)
        assert read.flags == expected.flags
        assert read.tolist() == expected.tolist() == array.tolist()


@pytest.mark.parametrize("home", [b"numpy.core", b"numpy._core"])
def test_arrays_of_numpy_1_and_2(tmp_path: Path, home: bytes) -> None:
    path = tmp_path / "data.pkl"
    text = pickle.dumps(np.arange(3), protocol=2).replace(b"numpy._core", b"numpy.core").replace(b"numpy.core", home)
    assert home + b".multiarray" in text
    path.write_bytes(text)
    np.testing.assert_array_equal(load_data_pickle(path), [0, 1, 2])


def test_bytes_of_python_2_are_latin_1(tmp_path: Path) -> None:
    path = tmp_path / "data.pkl"
    path.write_bytes(b"\x80\x02U\x02\xff\xfe.")  # the str "\xff\xfe" of Python 2
    assert load_data_pickle(path) == "\xff\xfe"


class _Command:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple:
        return os.system, (self.command,)


def test_commands_are_not_run(tmp_path: Path) -> None:
    path, witness = tmp_path / "data.pkl", tmp_path / "witness"
    path.write_bytes(pickle.dumps({"boxes": np.zeros(2), "x": _Command(f"touch {witness}")}))
    with pytest.raises(ValueError, match=r"data\.pkl is not a pickle of arrays.*names \w+\.system"):
        load_data_pickle(path)
    assert not witness.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps(eval), r"builtins\.eval"),
        (pickle.dumps(Fraction(1, 2)), r"fractions\.Fraction"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0edtype.__init__\x93.", r"numpy\.dtype\.__init__"),
        (pickle.dumps(np.arange(100))[:60], "is not a pickle"),
        (b"", "it ends too early"),
        (b"video,0902,0,0,1,1,,0.9\n", "is not a pickle"),
        (pickle.dumps(np.zeros(3, "V8")), "other than plain numbers: of 'V8'"),
        (pickle.dumps(np.zeros(3, "M8[s]")), "other than plain numbers: of 'M8'"),
        (pickle.dumps(np.zeros(3, "f4,f4")), "other than plain numbers: of 'V8'"),
        (pickle.dumps(np.dtype("f4")), "it holds a _Type, which is not plain data"),
        (pickle.dumps(np.array([[1], None], dtype=object)), "holds others than text and numbers"),
        (pickle.dumps(np.arange(3.0), 2).replace(b"K\x03\x85", b"K\x04\x85"), "not what its shape needs"),
        (pickle.dumps(10**5000), "an integer of 16610 bits, expected at most 8192"),
        (pickle.dumps({(((1,) * 99),): 2}), "a tuple of more than 100 parts as a key"),
        (b"\x80\x04" + b"]" * 60 + b"a" * 59 + b".", "values in more than 50 levels"),
        (b"\x80\x04]" + b"".join(b"\x94](h%ch%ce" % (n, n) for n in range(40)) + b".", "more than 16777216 values"),
        (b"\x80\x04Nq\x05.", "writes the note 5 after 0 others"),
        (b"\x80\x04h\x00.", "reads the note 0, which was not written"),
        (b"\x80\x04Na.", "takes more than there is"),
        (b"\x80\x04N}s.", "takes more than there is"),
        (b"\x80\x04}]Ns.", "a list as a key"),
        (b"\x80\x04NQ.", "refers to an object outside of the file"),
        (b"\x80\x04\x82\x01.", "the instruction EXT1"),
        (b"\x80\x05\x97.", "the instruction NEXT_BUFFER"),
        (b"\x80\x04cnumpy\nndarray\n)\x81.", "the instruction NEWOBJ"),
        (b"\x80\x04cnumpy\nndarray\n)R.", "calls numpy.ndarray"),
        (b"\x80\x06N.", "of protocol 6"),
    ],
)
def test_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "data.pkl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_data_pickle(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pkl"):
        load_data_pickle(tmp_path / "nowhere.pkl")
