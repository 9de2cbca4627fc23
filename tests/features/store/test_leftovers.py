"""What processes leave in a store when they are killed, and what others write there at the same time."""

from __future__ import annotations

import os
import socket
import subprocess
import time

import pytest

from hiera_det.features.store import writer
from hiera_det.features.store.writer import create_store, write_failed
from hiera_det.utils.files import temporary_path


@pytest.fixture
def left(store, monkeypatch):
    """Makes what a process would leave behind."""

    def leave(pid, host=None, name="00001"):
        own = socket.gethostname()
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: pid)
            patch.setattr(socket, "gethostname", lambda: host or own)
            folder = temporary_path(store / name)
        folder.mkdir()
        (folder / "00001.parquet").write_text("half")
        return folder

    return leave


@pytest.fixture
def dead():
    """Number of a process that is no more."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_what_killed_processes_of_this_backend_left_is_removed(store, spec, plan, left, dead):
    names = {path.name for path in store.iterdir()}
    for end in (lambda: create_store(store, spec, plan), lambda: write_failed(store)):
        for name in ("00001", "store.json", "store.sha256", "failed.csv"):
            left(dead, name=name)
        end()
        assert {path.name for path in store.iterdir()} == names


def test_what_others_write_is_left(store, spec, plan, left, dead, monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "node.1")
    others = [left(os.getppid()), *(left(dead, host) for host in ("node.11", "node.1.1", "2.node.1", "node", "node-1"))]
    others.append(left(os.getpid()))  # of a container with the same host name, or of an earlier one
    create_store(store, spec, plan)
    write_failed(store)
    assert all((folder / "00001.parquet").exists() for folder in others)


def test_what_nobody_can_be_writing_any_more_is_removed(store, spec, plan, left, dead):
    old, long = [left(os.getpid()), left(dead, "other")], left(os.getppid())
    for folder in (*old, long):
        os.utime(folder, (time.time() - 100_000,) * 2)
    create_store(store, spec, plan)
    assert [folder.exists() for folder in (*old, long)] == [False, False, True]


def test_a_shard_is_written_where_another_backend_writes_it(store, plan, write_parts, left):
    """By a process of the same number, as in another container."""
    others = [left(os.getpid(), "other"), left(os.getpid())]
    (store / "00001.sha256").unlink()
    write_parts(store, plan, [1])
    assert all((folder / "00001.parquet").exists() for folder in others)


def test_containers_that_share_backend_name_and_process_id(root, store, spec, plan, write_parts, monkeypatch, content):
    """Three of them, each in the middle of a shard when the next begins with the same one."""
    folders = []

    def interrupted_by_another(folder, *args):
        write_files(folder, *args)
        folders.append(folder)
        if len(folders) < 3:
            create_store(root, spec, plan)
            write_parts(root, plan, [0])

    write_files = writer._write_files
    monkeypatch.setattr(writer, "_write_files", interrupted_by_another)
    write_parts(root, plan)
    write_failed(root)
    assert len(set(folders[:3])) == 3
    assert content(root) == content(store)
