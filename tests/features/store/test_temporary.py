from __future__ import annotations

import os
import socket
import subprocess

import pytest

from hiera_det.features.store.writer import create_store, write_failed


@pytest.fixture
def left(store):
    """Makes what a process would leave behind."""

    def leave(pid, host=None, name="00001"):
        folder = store / f"tmp.{host or socket.gethostname()}.{pid}.{name}"
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


def test_what_killed_processes_of_this_host_left_is_removed(store, spec, plan, left, dead):
    names = {path.name for path in store.iterdir()}
    for end in (lambda: create_store(store, spec, plan), lambda: write_failed(store)):
        for name in ("00001", "store.json", "store.sha256", "failed.csv"):
            left(dead, name=name)
        left(os.getpid())
        end()
        assert {path.name for path in store.iterdir()} == names


def test_what_others_write_is_left(store, spec, plan, left, dead, monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "node.1")
    others = [left(os.getppid()), *(left(dead, host) for host in ("node.11", "node.1.1", "2.node.1", "node", "node-1"))]
    create_store(store, spec, plan)
    write_failed(store)
    assert all((folder / "00001.parquet").exists() for folder in others)


def test_a_shard_is_written_where_another_host_writes_it(store, plan, write_parts, left):
    """By a process of the same number; and one of this host with it was killed."""
    other, own = left(os.getpid(), "other"), left(os.getpid())
    (store / "00001.sha256").unlink()
    write_parts(store, plan, [1])
    assert (other / "00001.parquet").exists() and not own.exists()
