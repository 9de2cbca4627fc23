"""Folders: what is left out is counted, what cannot be read is named, by prediction and by extraction."""

from __future__ import annotations

import logging
import os
import subprocess
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


@pytest.mark.parametrize("pattern", ["", "**", "**/*.jpg", "**/**/*.jpg", "**/1/**/*.jpg"])
def test_links_that_lead_round(tmp_path, pattern):
    """Two in each of two folders: by way of them there are more paths than can be walked."""
    for here, there in (("a", "b"), ("b", "a")):
        (tmp_path / here).mkdir()
        (tmp_path / here / f"{here}.jpg").touch()
        for link in "12":
            (tmp_path / here / link).symlink_to(tmp_path / there)
    found = ids(tmp_path / "a" / pattern)
    if pattern == "**/1/**/*.jpg":  # each of its two walks may go through both folders
        assert {"1/b.jpg", "1/1/a.jpg"} <= set(found) and len(found) <= 8
    else:
        assert found == ["1/b.jpg", "2/b.jpg", "a.jpg"]


@pytest.mark.parametrize("pattern", ["", "**/z.jpg"])
def test_links_by_which_a_folder_is_reached_in_too_many_ways(tmp_path, pattern):
    for number in range(30, -1, -1):
        (tmp_path / f"d{number}").mkdir()
        for link in "12" if number < 30 else "":
            (tmp_path / f"d{number}" / link).symlink_to(tmp_path / f"d{number + 1}")
    (tmp_path / "d30" / "z.jpg").touch()
    with pytest.raises(ValueError, match=r"links below .* in 100 other ways"):
        ids(tmp_path / "d0" / pattern)


def test_folders_in_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(1200):
        os.mkdir("a")
        os.chdir("a")
    open("z.jpg", "w").close()
    os.chdir(tmp_path)
    try:
        assert [name.count("/") for name in ids("a")] == [1199]
    finally:
        subprocess.run(["rm", "-r", "a"], check=True)  # pytest cannot
