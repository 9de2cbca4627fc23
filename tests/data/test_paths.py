from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from hiera_det.data.paths import make_output, read_each
from hiera_det.utils.files import temporary_path


def number(path):
    if path.stem == "gone":
        raise FileNotFoundError("it is not there")
    return int(path.stem)


def test_what_cannot_be_read_is_skipped(caplog):
    paths = [Path(f"in/{name}.txt") for name in ("1", "gone", "x", "3")]
    with caplog.at_level(logging.WARNING):
        assert list(read_each(paths, number)) == [(paths[0], 1), (paths[3], 3)]
    first, second = (record.getMessage() for record in caplog.records)
    assert first == "skipped: gone.txt: it is not there"
    assert second.startswith("skipped: x.txt: invalid literal")


def test_nothing_that_can_be_read():
    for names in (["gone"], ["gone", "x"]):
        paths = [Path(f"in/{name}.txt") for name in names]
        with pytest.raises(
            ValueError, match=rf"none of the {len(names)} files can be read, such as gone\.txt: it is not there"
        ):
            list(read_each(paths, number))


def test_other_errors_and_those_of_the_reader_s_caller_are_not_caught():
    with pytest.raises(ZeroDivisionError):
        list(read_each([Path("1"), Path("2")], lambda path: 1 / 0))
    with pytest.raises(ValueError, match="disk"):
        for _ in read_each([Path("1"), Path("2")], number):
            raise ValueError("disk")


def test_progress(capsys):
    for paths in ([Path("1")], [Path("1"), Path("2")]):
        list(read_each(paths, number))
        assert ("2/2" in capsys.readouterr().err) == (len(paths) == 2)


def test_what_a_killed_process_left_is_cleared_away(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(os, "getpid", lambda: 2**30)  # no system gives so large a number
    left = temporary_path(tmp_path / "out" / "a.jpg")
    left.touch()
    (tmp_path / "out" / "tmp.notes.txt").touch()  # a user's
    monkeypatch.undo()
    make_output(tmp_path / "out", tmp_path / "in" / "a.jpg")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["tmp.notes.txt"]
