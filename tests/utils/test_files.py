"""Files are complete or not there."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time

import pytest

from hiera_det.utils.files import atomic_write, is_temporary, remove_leftovers, temporary_path


def test_the_file_appears_when_the_block_ends(tmp_path):
    target = tmp_path / "a.json"
    with atomic_write(target) as temporary:
        temporary.write_text("new")
        assert not target.exists() and temporary.suffix == ".json"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_an_error_leaves_what_was_there(tmp_path):
    target = tmp_path / "a.json"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(target) as temporary:
        temporary.write_text("ne")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def _write_folder(target, content):
    with atomic_write(target) as temporary:
        temporary.mkdir()
        (temporary / "a.txt").write_text(content)


def test_a_folder_takes_the_place_of_nothing_or_an_empty_one(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty"):
        _write_folder(tmp_path / name, "first")
    with pytest.raises(OSError):
        _write_folder(tmp_path / "new", "second")
    assert (tmp_path / "new" / "a.txt").read_text() == "first"
    assert {path.name for path in tmp_path.iterdir()} == {"new", "empty"}


@pytest.mark.parametrize("host", ["node_17", "node-1.example.com", "", "a-job-of-a-long-name-worker-0", "h" * 64])
def test_temporary_names(tmp_path, monkeypatch, host):
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    names = {temporary_path(tmp_path / "a.pth").name for _ in range(100)}
    assert len(names) == 100
    for name in names:
        assert re.fullmatch(rf"tmp\.[A-Za-z0-9_]{{0,32}}-{os.getpid()}-[0-9a-f]{{8}}\.a\.pth", name)
        assert is_temporary(name)


def test_hosts_are_told_apart_where_their_names_are_cut(tmp_path, monkeypatch):
    hosts = [*(f"{'long-' * 8}{i}" for i in range(3)), "node.1", "node-1", "node_1", "node_11"]
    found = set()
    for host in hosts:
        monkeypatch.setattr(socket, "gethostname", lambda host=host: host)
        found.add(temporary_path(tmp_path / "a").name.split("-")[0])
    assert len(found) == len(hosts)


def test_a_name_of_255_bytes(tmp_path):
    target = tmp_path / f"{chr(233) * 120}{'x' * 11}.png"
    with atomic_write(target) as temporary:
        temporary.touch()
        assert is_temporary(temporary.name) and temporary.suffix == ".png"
    assert list(tmp_path.iterdir()) == [target]


USERS = ["tmp.notes.txt", "tmp.mine", "tmp.1.00000", "tmp.host-1-abc.x", "tmp.host-1-0123abcd", "tmp.host-1-0123ABCD.x"]
USERS += ["tmp.host-x-0123abcd.x", "tmp.my-host-1-0123abcd.x", "a.tmp.host-1-0123abcd.x", "host-1-0123abcd.x", "tmp."]


@pytest.mark.parametrize("name", USERS)
def test_names_that_users_give(name):
    assert not is_temporary(name)


@pytest.fixture
def left(tmp_path, monkeypatch):
    """Makes what a process would leave behind, a file or a folder; ``age`` is in seconds."""

    def leave(pid, host=None, age=0, folder=False):
        own = socket.gethostname()
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: pid)
            patch.setattr(socket, "gethostname", lambda: host or own)
            path = temporary_path(tmp_path / "a.pth")
        if folder:
            path.mkdir()
            (path / "half").touch()
        else:
            path.touch()
        os.utime(path, (time.time() - age,) * 2)
        return path

    return leave


def test_leftovers_of_killed_processes_are_removed(tmp_path, left):
    process = subprocess.Popen(["true"])
    process.wait()
    dead, day = process.pid, 86_400
    for name in USERS:
        (tmp_path / name).mkdir()
    gone = [left(dead), left(dead, folder=True), left(2**70), left(dead, "other", age=day + 60)]
    gone.append(left(os.getpid(), age=day + 60, folder=True))  # of a container that was started anew
    kept = [left(os.getpid()), left(os.getppid(), age=2 * day), left(dead, "other", age=day - 60, folder=True)]
    remove_leftovers(tmp_path)
    assert not [path for path in gone if path.exists()]
    assert {path.name for path in tmp_path.iterdir()} == {*USERS, *(path.name for path in kept)}
