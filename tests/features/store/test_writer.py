"""What a store is made of: its spec, its shards, and what is refused."""

from __future__ import annotations

import logging
import math
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hiera_det.features.store import writer
from hiera_det.features.store.layout import done_parts
from hiera_det.features.store.reader import FeatureStore
from hiera_det.features.store.verify import verify_store
from hiera_det.features.store.writer import create_store, write_failed, write_shard


def test_the_same_spec_and_plan_go_on(store, spec, plan, content):
    before = content(store)
    create_store(store, dict(reversed(spec.items())), plan)
    assert content(store) == before


def test_a_spec_is_compared_as_json_keeps_it(tmp_path, spec, plan):
    for mean in ((0.5, 0.25), [0.5, 0.25]):
        create_store(tmp_path / "s", {**spec, "MEAN": mean}, plan)
    assert FeatureStore(tmp_path / "s").spec["MEAN"] == [0.5, 0.25]


def test_another_spec_is_refused_key_by_key(store, spec, plan, content):
    before = content(store)
    other = {**spec, "model": "hiera_large_224", "FEATURES.MAPS": ["res4"]}
    del other["INPUT.SIZE"]
    with pytest.raises(ValueError, match="choose another folder") as caught:
        create_store(store, other, plan)
    assert str(caught.value).splitlines()[1:-1] == [
        "FEATURES.MAPS: store has nothing, this run ['res4']",
        "INPUT.SIZE: store has 224, this run nothing",
        "model: store has hiera_base_224, this run hiera_large_224",
    ]
    assert content(store) == before


def test_a_folder_with_other_things_is_left_alone(tmp_path, spec, plan, content):
    (tmp_path / "thesis.tex").write_text("mine")
    (tmp_path / "tmp.1.00000").write_text("mine")
    with pytest.raises(FileExistsError, match=r"not empty and no store of features"):
        create_store(tmp_path, spec, plan)
    assert content(tmp_path) == {"thesis.tex": b"mine", "tmp.1.00000": b"mine"}


def test_a_spec_has_to_say_what_the_rows_say(tmp_path, spec, plan):
    del spec["model"]
    with pytest.raises(ValueError, match="lacks the text of model"):
        create_store(tmp_path / "s", spec, plan)
    assert not (tmp_path / "s").exists()


def test_a_shard_does_not_depend_on_the_order_of_writing(tmp_path, store, spec, plan, write_parts, content):
    again = tmp_path / "again"
    create_store(again, spec, plan)
    write_parts(again, plan, [2, 0])
    create_store(again, spec, plan)
    assert done_parts(again) == {0, 2}
    write_parts(again, plan, [1])
    write_failed(again)
    assert content(again) == content(store)


def test_a_shard_does_not_depend_on_the_order_of_names(root, store, plan, make_features, content):
    features = [make_features(item) for item in plan[1]]
    for one in features:
        one.maps, one.vectors = dict(reversed(one.maps.items())), dict(reversed(one.vectors.items()))
    write_shard(root, 1, features, [])
    assert content(root) == {name: data for name, data in content(store).items() if name in content(root)}


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


def test_a_shard_that_is_there_is_kept(store, plan, write_parts, caplog, content):
    before = content(store)
    with caplog.at_level(logging.WARNING):
        write_parts(store, plan, [1])
    assert content(store) == before
    assert "shard 1 of" in caplog.text and "is kept" in caplog.text


def test_a_shard_that_comes_from_elsewhere_meanwhile_is_kept(
    store, root, plan, write_parts, monkeypatch, caplog, content
):
    def overtaken(*args):
        write_files(*args)
        shutil.copytree(store, root, dirs_exist_ok=True)

    write_files = writer._write_files
    monkeypatch.setattr(writer, "_write_files", overtaken)
    write_parts(root, plan, [1], dtype=torch.float32)
    assert content(root) == content(store) and not list(root.glob("tmp.*"))
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
