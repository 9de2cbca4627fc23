"""Files are whole or not there."""

from __future__ import annotations

import pytest

from hiera_det.utils.files import written_aside


def test_the_file_appears_when_the_block_ends(tmp_path):
    target = tmp_path / "a.json"
    with written_aside(target) as aside:
        aside.write_text("new")
        assert not target.exists() and aside.suffix == ".json"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_an_error_leaves_what_was_there(tmp_path):
    target = tmp_path / "a.json"
    target.write_text("old")
    with pytest.raises(RuntimeError), written_aside(target) as aside:
        aside.write_text("ne")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
