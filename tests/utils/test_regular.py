"""What is no regular file is refused at once, whatever would open or read it without an end."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from hiera_det.data.images import read_image
from hiera_det.data.video import video_duration
from hiera_det.features.analysis.labels import read_labels
from hiera_det.features.store.layout import read_failures, read_sums
from hiera_det.features.store.rows import open_rows
from hiera_det.inputs.tables import read_boxes
from hiera_det.inputs.tars import images_of_tar
from hiera_det.utils import regular
from hiera_det.utils.files import file_sum
from hiera_det.utils.json_text import read_json
from hiera_det.utils.regular import NoRegularFileError, check_regular, open_regular, read_regular
from hiera_det.utils.text import read_text, text_lines

READERS = {
    **{reader.__name__: reader for reader in (check_regular, open_regular, read_regular, read_text, read_json)},
    **{reader.__name__: reader for reader in (file_sum, read_labels, read_boxes, images_of_tar, read_image)},
    **{reader.__name__: reader for reader in (read_failures, read_sums, open_rows, video_duration)},
    "text_lines": lambda path: list(text_lines(path)),
}
KINDS = {"pipe": "a named pipe", "folder": "a folder", "socket": "a socket", "zero": "a device", "loop": "Too many"}


@pytest.fixture(params=KINDS)
def thing(request, tmp_path, monkeypatch) -> tuple[Path, str]:
    """A path at which there is something else than a file, and the word for it."""
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    path = tmp_path / "a"
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "folder":
        path.mkdir()
    elif request.param == "socket":
        socket.socket(socket.AF_UNIX).bind("a")
    else:
        path.symlink_to({"zero": "/dev/zero", "loop": path}[request.param])
    return path, KINDS[request.param]


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_no_reader_waits_for_what_is_no_file(thing, read):
    path, kind = thing
    with pytest.raises((OSError, ValueError), match=kind) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    check_regular(tmp_path / "a")
    assert read_regular(str(tmp_path / "a")) == b"content"
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "b")


def test_a_pipe_that_takes_the_place_of_a_file(tmp_path, monkeypatch):
    """Between the check of the path and its opening."""
    os.mkfifo(tmp_path / "a")
    monkeypatch.setattr(regular, "check_regular", lambda path: None)
    with pytest.raises(NoRegularFileError, match="it is a named pipe, expected a file"):
        open_regular(tmp_path / "a")
