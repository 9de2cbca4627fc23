"""Pickles from elsewhere: data comes through, anything else is refused and not run."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from hiera_det.weights.pickles import load_data_pickle


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
        (b"", "Ran out of input"),
        (b"video,0902,0,0,1,1,,0.9\n", "is not a pickle"),
    ],
    ids=["function", "class", "attribute of what is allowed", "truncated", "empty", "text"],
)
def test_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "data.pkl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_data_pickle(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pkl"):
        load_data_pickle(tmp_path / "nowhere.pkl")
