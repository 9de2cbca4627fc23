from __future__ import annotations

import contextlib
import logging
import math
import os
import resource
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hiera_det.features.inputs.items import Item, Plan
from hiera_det.features.store import writer
from hiera_det.features.store.layout import done_parts
from hiera_det.features.store.reader import Features, FeatureStore
from hiera_det.features.store.verify import verify_store
from hiera_det.features.store.writer import create_store, write_failed, write_shard

REPOSITORY = Path(__file__).parents[3]


def _content(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def root(tmp_path, spec, plan):
    """A store without shards."""
    create_store(tmp_path / "new", spec, plan)
    return tmp_path / "new"


def test_the_same_spec_and_plan_go_on(store, spec, plan):
    before = _content(store)
    create_store(store, dict(reversed(spec.items())), plan)
    assert _content(store) == before


def test_a_spec_is_compared_as_json_keeps_it(tmp_path, spec, plan):
    for mean in ((0.5, 0.25), [0.5, 0.25]):
        create_store(tmp_path / "s", {**spec, "MEAN": mean}, plan)
    assert FeatureStore(tmp_path / "s").spec["MEAN"] == [0.5, 0.25]


def test_another_spec_is_refused_key_by_key(store, spec, plan):
    before = _content(store)
    other = {**spec, "model": "hiera_large_224", "FEATURES.MAPS": ["res4"]}
    del other["INPUT.SIZE"]
    with pytest.raises(ValueError, match="choose another folder") as caught:
        create_store(store, other, plan)
    assert str(caught.value).splitlines()[1:-1] == [
        "FEATURES.MAPS: store has nothing, this run ['res4']",
        "INPUT.SIZE: store has 224, this run nothing",
        "model: store has hiera_base_224, this run hiera_large_224",
    ]
    assert _content(store) == before


def test_a_folder_with_other_things_is_left_alone(tmp_path, spec, plan):
    (tmp_path / "thesis.tex").write_text("mine")
    (tmp_path / "tmp.1.00000").write_text("mine")
    with pytest.raises(FileExistsError, match=r"not empty and no store of features"):
        create_store(tmp_path, spec, plan)
    assert _content(tmp_path) == {"thesis.tex": b"mine", "tmp.1.00000": b"mine"}


def test_a_spec_has_to_say_what_the_rows_say(tmp_path, spec, plan):
    del spec["model"]
    with pytest.raises(ValueError, match="lacks the text of model"):
        create_store(tmp_path / "s", spec, plan)
    assert not (tmp_path / "s").exists()


def test_a_shard_does_not_depend_on_the_order_of_writing(tmp_path, store, spec, plan, write_parts):
    again = tmp_path / "again"
    create_store(again, spec, plan)
    write_parts(again, plan, [2, 0])
    create_store(again, spec, plan)
    assert done_parts(again) == {0, 2}
    write_parts(again, plan, [1])
    write_failed(again)
    assert _content(again) == _content(store)


def test_a_shard_does_not_depend_on_the_order_of_names(root, store, plan, make_features):
    features = [make_features(item) for item in plan[1]]
    for one in features:
        one.maps, one.vectors = dict(reversed(one.maps.items())), dict(reversed(one.vectors.items()))
    write_shard(root, 1, features, [])
    assert _content(root) == {name: content for name, content in _content(store).items() if name in _content(root)}


def test_maps_that_are_views_are_written_as_they_are(root, plan, make_features):
    features = [make_features(item) for item in plan[1]]
    batch = torch.stack([one.maps["res4"] for one in features])
    for i, one in enumerate(features):
        one.maps["res4"] = batch[i]
        one.maps["res5"] = torch.nn.functional.pad(one.maps["res5"], (0, 3, 0, 1))[:, :2, :3]  # padding cut off
    write_shard(root, 1, features, [])
    opened = FeatureStore(root)
    for item in plan[1]:
        assert all(torch.equal(opened[item.id][name], values) for name, values in make_features(item).maps.items())
    assert not [problem for problem in verify_store(root) if "00001" in problem]


KILL = """
import os, sys
from pathlib import Path
import torch
from hiera_det.features.store import writer
from hiera_det.features.inputs.items import Item, Plan
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


def test_a_process_killed_between_any_two_files_leaves_nothing_behind(tmp_path):
    """Six renames make a store with one shard: its header, the checksum of that, and four files of the shard."""
    done = subprocess.run(
        [sys.executable, "-c", KILL, str(tmp_path)], capture_output=True, text=True, cwd=REPOSITORY, check=True
    )
    assert done.stdout.splitlines() == ["9 1"] * 6 + ["0 0"], done.stderr
    plan = Plan([Item(str(i), str(i)) for i in range(4)], 2)
    features = Features(plan[0][0], 1, 1, {"res5": torch.ones(1, 2, 3)}, {"res5": 32}, {"mean": torch.ones(1)})
    whole = _content(tmp_path / "7")
    assert len(whole) == 6
    for kill_at in range(1, 7):
        root = tmp_path / str(kill_at)
        assert done_parts(root) == set()
        create_store(root, {"package_version": "1", "model": "m", "weights_sha256": "ab"}, plan)
        write_shard(root, 0, [features], [(plan[0][1], "bad")])
        assert _content(root) == whole
        assert not list(root.glob("tmp.*"))


@pytest.mark.parametrize("fail_at", [1, 2, 3, 4])
def test_an_error_between_files_leaves_the_shard_undone(root, plan, write_parts, store, monkeypatch, fail_at):
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
    assert _content(root) == _content(store)


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


@contextlib.contextmanager
def _largest_file(size):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("options", [{"vectors": False}, {"maps": False}])
@pytest.mark.parametrize("size", [0, 100, 600])
def test_a_file_that_cannot_grow(root, plan, write_parts, options, size):
    write_parts(root, plan, [0], **options)
    before = _content(root)
    with (
        _largest_file(size),
        pytest.raises(
            OSError, match=r"shard 1 of .* cannot be written \(.*\); the 1 shards that are finished are whole"
        ),
    ):
        write_parts(root, plan, [1], **options)
    assert _content(root) == before and not list(root.glob("tmp.*"))
    write_parts(root, plan, [1], **options)
    assert done_parts(root) == {0, 1}


def test_a_full_disk(tmp_path, spec, plan, make_features):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("no right to mount a small disk")
    try:
        root = disk / "store"
        create_store(root, spec, plan)
        write_shard(root, 0, [make_features(item) for item in plan[0]], [])
        before = _content(root)
        for name, entry, values in (
            ("maps", "res4", torch.zeros(450, 10, 10)),
            ("vectors", "mean", torch.rand(45_000)),
        ):
            large = [make_features(item) for item in plan[1]]
            for one in large:
                getattr(one, name)[entry] = values.clone()
            with pytest.raises(OSError, match=r"No space left on device.*It needs about 0\.5 MB, and 0\.2 MB are free"):
                write_shard(root, 1, large, [])
            assert _content(root) == before
        assert [line for line in verify_store(root) if "2 of 3 shards are not there" not in line] == []
        write_shard(root, 1, [make_features(item) for item in plan[1]], [])
        assert len(FeatureStore(root)) == 6
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_shard_that_is_there_is_kept(store, plan, write_parts, caplog):
    before = _content(store)
    with caplog.at_level(logging.WARNING):
        write_parts(store, plan, [1])
    assert _content(store) == before
    assert "shard 1 of" in caplog.text and "is kept" in caplog.text


def test_a_shard_that_comes_from_elsewhere_meanwhile_is_kept(store, root, plan, write_parts, monkeypatch, caplog):
    def overtaken(*args):
        write_files(*args)
        shutil.copytree(store, root, dirs_exist_ok=True)

    write_files = writer._write_files
    monkeypatch.setattr(writer, "_write_files", overtaken)
    write_parts(root, plan, [1], dtype=torch.float32)
    assert _content(root) == _content(store) and not list(root.glob("tmp.*"))
    assert "shard 1 of" in caplog.text and "is kept" in caplog.text


def test_a_shard_does_not_look_through_the_store(root, plan, write_parts, monkeypatch):
    listed, listing = [], Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: listed.append(path) or listing(path))
    write_parts(root, plan, [1])
    assert root not in listed


@pytest.mark.parametrize(
    ("dtype", "advice"),
    [
        (torch.float16, "fp16 ends at 65504: set FEATURES.DTYPE to bf16 or fp32"),
        (torch.bfloat16, "the model gave them"),
    ],
)
def test_values_that_are_not_finite_are_told_of(root, plan, make_features, caplog, dtype, advice):
    features = [make_features(replace(item, boxes=()), dtype) for item in plan[1]]
    write_shard(root, 1, features, [])
    assert not caplog.records
    (root / "00001.sha256").unlink()
    features[0].maps["res5"][3, 1, 2] = math.inf
    features[1].maps["res4"][0, 0, 0] = 65504
    features[1].vectors["mean"][7] = math.nan
    features[2].vectors["logits"][0] = -math.inf
    write_shard(root, 1, features, [])
    assert [record.getMessage() for record in caplog.records] == [
        f"shard 1 of {root}: 3 maps or vectors hold inf or NaN (d/3é.jpg: res5; d/4é.jpg: mean; d/5é.jpg: logits);"
        f" {advice}"
    ]


def test_bad_parts_are_refused(root, plan, make_features):
    features = [make_features(item) for item in plan[0]]
    for index, given in ((0, features[:2]), (2, features), (3, []), (3, features)):
        with pytest.raises(ValueError, match=rf"part {index} of .*: {len(given)} items with features and 0 without"):
            write_shard(root, index, given, [])
    assert not list(root.glob("0*")) and not list(root.glob("tmp.*"))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("maps", {}, "differ in their stages"),
        ("vectors", {"mean": torch.zeros(8).half()}, "differ in their vectors"),
        ("mean", torch.zeros(9).half(), "one length"),
        ("mean", torch.zeros(8), "one length, 1 or 2 dimensions, and one of float16"),
    ],
)
def test_items_of_a_shard_are_of_one_kind(root, plan, make_features, field, value, message):
    features = [make_features(item) for item in plan[0]]
    if field == "mean":
        features[1].vectors["mean"] = value
    else:
        setattr(features[1], field, value)
    with pytest.raises(ValueError, match=message):
        write_shard(root, 0, features, [])
    assert not list(root.glob("0*")) and not list(root.glob("tmp.*"))


def test_others_may_read_what_the_umask_allows(tmp_path, spec, plan, write_parts):
    before = os.umask(0o027)
    try:
        create_store(tmp_path / "s", spec, plan)
        write_parts(tmp_path / "s", plan)
        write_failed(tmp_path / "s")
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "s").iterdir()} == {0o640}


def test_failures_of_all_shards_come_in_the_order_of_items(store):
    assert (store / "failed.csv").read_text(encoding="utf-8") == (
        'id,path,reason\nd/2é.jpg,/data/d/2é.jpg,"is truncated, it ""ends"" at 7 %"\nd/6é.jpg,/data/d/6é.jpg,is empty\n'
    )
    shutil.copy(store / "failed.csv", store / "00001.failed.csv")
    assert write_failed(store) == 4


def test_without_failures_the_list_is_a_header(root, plan, make_features):
    write_shard(root, 1, [make_features(item) for item in plan[1]], [])
    assert write_failed(root) == 0
    assert (root / "failed.csv").read_text() == "id,path,reason\n"
