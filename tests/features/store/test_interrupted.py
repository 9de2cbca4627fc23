"""A store whose writing is cut short: killed, failing between files, out of disk. Nothing half-written stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hiera_det.features.store.layout import done_parts
from hiera_det.features.store.reader import Features, FeatureStore
from hiera_det.features.store.verify import verify_store
from hiera_det.features.store.writer import create_store, write_failed, write_shard
from hiera_det.inputs.items import Item, Plan
from tests.utils.full_disk import files_of_at_most

REPOSITORY = Path(__file__).parents[3]


KILL = """
import os, sys
from pathlib import Path
import torch
from hiera_det.features.store import writer
from hiera_det.inputs.items import Item, Plan
from tests.utils.full_disk import files_of_at_most
from hiera_det.features.store.reader import Features
from hiera_det.features.store.writer import create_store, write_shard

spec = {"package_version": "1", "model": "m", "weights_sha256": "ab"}
plan = Plan([Item(str(i), str(i)) for i in range(4)], 2)
features = Features(plan[0][0], 1, 1, {"res5": torch.ones(1, 2, 3)}, {"res5": 32}, {"mean": torch.ones(1)})

def run(root, kill_at):
    left, replace = [kill_at], Path.replace

    def killed(path, target):
        left[0] -= 1
        if left[0] == 0:
            os._exit(9)
        return replace(path, target)

    Path.replace = killed
    create_store(root, spec, plan)
    write_shard(root, 0, [features], [(plan[0][1], "bad")])
    os._exit(0)

for kill_at in range(1, 8):
    child = os.fork()
    if child == 0:
        run(Path(sys.argv[1]) / str(kill_at), kill_at)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(list(Path(sys.argv[1], str(kill_at)).glob("tmp.*"))))
"""


def test_a_process_killed_between_any_two_files_leaves_nothing_behind(tmp_path, content):
    """Six renames make a store with one shard: its header, the checksum of that, and four files of the shard."""
    done = subprocess.run(
        [sys.executable, "-c", KILL, str(tmp_path)], capture_output=True, text=True, cwd=REPOSITORY, check=True
    )
    assert done.stdout.splitlines() == ["9 1"] * 6 + ["0 0"], done.stderr
    plan = Plan([Item(str(i), str(i)) for i in range(4)], 2)
    features = Features(plan[0][0], 1, 1, {"res5": torch.ones(1, 2, 3)}, {"res5": 32}, {"mean": torch.ones(1)})
    whole = content(tmp_path / "7")
    assert len(whole) == 6
    for kill_at in range(1, 7):
        root = tmp_path / str(kill_at)
        assert done_parts(root) == set()
        create_store(root, {"package_version": "1", "model": "m", "weights_sha256": "ab"}, plan)
        write_shard(root, 0, [features], [(plan[0][1], "bad")])
        assert content(root) == whole
        assert not list(root.glob("tmp.*"))


@pytest.mark.parametrize("fail_at", [1, 2, 3, 4])
def test_an_error_between_files_leaves_the_shard_undone(root, plan, write_parts, store, monkeypatch, fail_at, content):
    calls, rename = [], Path.replace

    def failing(path, target):
        calls.append(target)
        if len(calls) == fail_at:
            raise OSError(5, "Input/output error")
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", failing)
        with pytest.raises(OSError, match=r"shard 0 of .* cannot be written"):
            write_parts(root, plan, [0])
    assert done_parts(root) == set() and not list(root.glob("tmp.*"))
    write_parts(root, plan)
    write_failed(root)
    assert content(root) == content(store)


def test_a_file_is_on_the_disk_before_it_gets_its_name(root, plan, write_parts, monkeypatch):
    events, sync, rename = [], os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda file: (events.append(os.readlink(f"/proc/self/fd/{file}")), sync(file)))
    monkeypatch.setattr(Path, "replace", lambda path, to: (events.append((str(path), str(to))), rename(path, to)))
    write_parts(root, plan, [0])
    renames = [event for event in events if isinstance(event, tuple)]
    assert [Path(to).name.split(".", 1)[1] for _, to in renames] == ["safetensors", "parquet", "failed.csv", "sha256"]
    assert all(events.index(source) < events.index((source, to)) for source, to in renames)
    assert events[-3:] == [str(root), renames[-1], str(root)]  # the names of the others, too, before the checksums'


def test_what_a_killed_attempt_left_does_not_get_into_the_shard(root, plan, write_parts, make_features):
    (root / "00000.failed.csv").write_text("id,path,reason\nd/0é.jpg,x,the disk hung\n")
    write_shard(root, 0, [make_features(item) for item in plan[0]], [])
    assert not (root / "00000.failed.csv").exists()
    assert FeatureStore(root).failed == []


@pytest.mark.parametrize("options", [{"vectors": False}, {"maps": False}])
@pytest.mark.parametrize("size", [0, 100, 600])
def test_a_file_that_cannot_grow(root, plan, write_parts, options, size, content):
    write_parts(root, plan, [0], **options)
    before = content(root)
    with (
        files_of_at_most(size),
        pytest.raises(
            OSError, match=r"shard 1 of .* cannot be written \(.*\); the 1 shards that are finished are whole"
        ),
    ):
        write_parts(root, plan, [1], **options)
    assert content(root) == before and not list(root.glob("tmp.*"))
    write_parts(root, plan, [1], **options)
    assert done_parts(root) == {0, 1}


def test_a_full_disk(tmp_path, spec, plan, make_features, content):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("no right to mount a small disk")
    try:
        root = disk / "store"
        create_store(root, spec, plan)
        write_shard(root, 0, [make_features(item) for item in plan[0]], [])
        before = content(root)
        for name, entry, values in (
            ("maps", "res4", torch.zeros(450, 10, 10)),
            ("vectors", "mean", torch.rand(45_000)),
        ):
            large = [make_features(item) for item in plan[1]]
            for one in large:
                getattr(one, name)[entry] = values.clone()
            with pytest.raises(OSError, match=r"No space left on device.*It needs about 0\.5 MB, and 0\.2 MB are free"):
                write_shard(root, 1, large, [])
            assert content(root) == before
        assert [line for line in verify_store(root) if "2 of 3 shards are not there" not in line] == []
        write_shard(root, 1, [make_features(item) for item in plan[1]], [])
        assert len(FeatureStore(root)) == 6
    finally:
        subprocess.run(["umount", disk], check=True)
