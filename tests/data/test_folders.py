"""Folders: what is left out is counted, what cannot be read is named, by prediction and by extraction."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from hiera_det.data.folders import count_endings
from hiera_det.data.paths import find_files
from hiera_det.inputs.find import find_items


@pytest.fixture
def tree(tmp_path):
    """Images, other files, hidden ones, and folders of which one will be locked."""
    root = tmp_path / "tree"
    for name in ("b.jpg", "a.GIF", "x.txt", "y.txt", "z", "._b.jpg", "open/1.jpg", "locked/2.jpg", ".git/3.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (root / "folder.jpg").mkdir()
    return root


@pytest.fixture
def lock(monkeypatch):
    """Makes a folder one that may not be listed, for root too."""

    def locked(folder):
        scandir = os.scandir

        def refuse(path="."):
            if Path(os.path.abspath(path)) == folder:
                raise PermissionError(13, "Permission denied", str(path))
            return scandir(path)

        monkeypatch.setattr(os, "scandir", refuse)

    return locked


def ids(source, **options):
    return [item.id for item in find_items([str(source)], **options)]


def test_a_folder_of_prediction(tree, caplog):
    (tree / "gone.jpg").symlink_to("nowhere")
    (tree / "loop.jpg").symlink_to("loop.jpg")
    with caplog.at_level(logging.INFO):
        names = [path.name for path in find_files(tree, "image")]
    assert names == ["a.GIF", "b.jpg", "gone.jpg", "loop.jpg"]  # links fail when they are read
    assert f"folder {tree}: 4 image(s), left out: 2 .txt, 1 hidden, 1 no ending" in caplog.text


def test_a_folder_of_extraction(tree, caplog):
    (tree / "loop.jpg").symlink_to("loop.jpg")
    with caplog.at_level(logging.INFO):
        assert ids(tree) == ["a.GIF", "b.jpg", "locked/2.jpg", "loop.jpg", "open/1.jpg"]
    assert f"folder {tree}: 5 image(s), left out: 2 hidden, 2 .txt, 1 no ending" in caplog.text
    assert ids(f"{tree}/**/*") == ids(tree)  # as globs do without what is hidden


def test_nothing_but_others(tree):
    for path in [*tree.glob("*.jpg"), tree / "a.GIF"]:
        path.rename(path.with_suffix(".pdf"))
    with pytest.raises(FileNotFoundError, match=r"no image in .*tree; looked for .*; there is: 2 \.pdf, 2 \.txt"):
        find_files(tree, "image")


def test_counts():
    assert count_endings([]) == "nothing"
    assert count_endings(list("abc") + [f"x.{letter}" for letter in "pqrstu"]) == (
        "3 no ending, 1 .p, 1 .q, 1 .r, 1 .s, 2 others"
    )


@pytest.mark.parametrize("pattern", ["", "**/*.jpg", "*/*.jpg", "[lo]*/[!z]*.jpg", "**"])
def test_a_folder_below_that_cannot_be_read(tree, lock, caplog, pattern):
    lock(tree / "locked")
    source = f"{tree}/{pattern}" if pattern else tree
    assert "open/1.jpg" in ids(source) and "locked/2.jpg" not in ids(source)
    assert f"folder {tree}/locked" in caplog.text and "cannot be read: Permission denied; what is in it" in caplog.text
    unreadable = []
    ids(source, unreadable=unreadable)
    assert unreadable == [f"folder {tree}/locked cannot be read: Permission denied"]


def test_a_folder_that_cannot_be_read(tree, lock):
    lock(tree)
    for find in (lambda: find_files(tree, "image"), lambda: ids(tree)):
        with pytest.raises(OSError, match=rf"folder {tree}/? cannot be read: Permission denied$"):
            find()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read all folders")
@pytest.mark.parametrize("pattern", ["", "*/*.jpg", "*/[12].jpg", "*/?.jpg"])
def test_a_folder_without_permission(tree, caplog, pattern):
    (tree / "locked").chmod(0)
    try:
        assert "open/1.jpg" in ids(f"{tree}/{pattern}")
        with pytest.raises(FileNotFoundError):
            ids(f"{tree}/*/2.jpg")  # a name without a wildcard
    finally:
        (tree / "locked").chmod(0o700)
    assert caplog.text.count("locked cannot be read: Permission denied") == 2


def test_a_pipe_among_images(tree):
    os.mkfifo(tree / "pipe.jpg")
    assert tree / "pipe.jpg" in find_files(tree, "image")  # it fails when it is read
    assert "pipe.jpg" in ids(tree)
    assert find_files(tree / "pipe.jpg", "image") == [tree / "pipe.jpg"]
