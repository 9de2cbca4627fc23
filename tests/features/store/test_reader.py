from __future__ import annotations

import csv
import json
import logging
import math
import pickle
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open

import hiera_det.features.store.reader as store_module
from hiera_det.features.store.reader import Features, FeatureStore
from hiera_det.features.store.rows import open_rows
from hiera_det.features.store.writer import create_store, write_failed, write_shard
from hiera_det.inputs.items import Item, Plan


def _same(got, wanted):
    assert got.dtype == wanted.dtype and got.shape == wanted.shape
    return torch.equal(got.flatten().view(torch.uint8), wanted.flatten().view(torch.uint8))


@pytest.mark.parametrize("frames", [0, 2])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_an_item_comes_back_bit_for_bit(tmp_path, spec, plan, make_features, write_parts, dtype, frames):
    create_store(tmp_path / "s", spec, plan)
    write_parts(tmp_path / "s", plan, dtype=dtype, frames=frames)
    store = FeatureStore(tmp_path / "s")
    in_table = torch.float32 if dtype == torch.bfloat16 else dtype
    for place in (5, 0, 3, 1, 4):
        wanted = make_features(plan.items[place], dtype, frames)
        got = store[plan.items[place].id]
        assert got.keys() == {"res4", "res5", "mean", "logits", "roi"}
        assert got["res4"].shape == ((4, frames, 3, 5) if frames else (4, 3, 5))
        assert all(_same(got[name], values) for name, values in wanted.maps.items())
        assert all(_same(got[name], values.to(in_table)) for name, values in wanted.vectors.items())


def test_each_item_has_as_many_roi_vectors_as_boxes(tmp_path, spec, make_features):
    box = (0.0, 0.0, 1.0, 1.0)
    plan = Plan(
        [Item(name, "p", boxes=(box,) * count) for name, count in zip("abcde", (0, 3, 1, 0, 5), strict=True)], 5
    )
    create_store(tmp_path / "s", spec, plan)
    features = [make_features(item) for item in plan.items]
    write_shard(tmp_path / "s", 0, features, [])
    store = FeatureStore(tmp_path / "s")
    assert [len(store[name]["roi"]) for name in "abcde"] == [0, 3, 1, 0, 5]
    assert all(_same(store[one.item.id]["roi"], one.vectors["roi"]) for one in features)


def test_special_numbers_are_kept(tmp_path, spec):
    values = torch.tensor([math.nan, math.inf, -math.inf, -0.0, 65504, 6e-8]).half()
    create_store(tmp_path / "s", spec, Plan([Item("a", "a")], 1))
    write_shard(tmp_path / "s", 0, [Features(Item("a", "a"), 1, 1, {}, {}, {"mean": values})], [])
    store = FeatureStore(tmp_path / "s")
    assert _same(store["a"]["mean"], values)
    assert _same(torch.from_numpy(store.vectors("mean")[1][0]), values)


def test_every_row_of_a_large_shard(tmp_path, spec):
    plan = Plan([Item(f"i{i}", "p") for i in range(70)], 70)
    create_store(tmp_path / "s", spec, plan)
    write_shard(tmp_path / "s", 0, [Features(x, 1, 1, {}, {}, {"mean": _ramp(i)}) for i, x in enumerate(plan[0])], [])
    store = FeatureStore(tmp_path / "s")
    assert all(torch.equal(store[f"i{i}"]["mean"], _ramp(i)) for i in (0, 69, 31, 32, 33, 63, 64))


def _ramp(start):
    return torch.arange(start, start + 4).float()


def test_it_is_a_mapping_in_the_order_of_items(store, plan):
    opened = FeatureStore(store)
    ids = [plan.items[place].id for place in (0, 1, 3, 4, 5)]
    assert list(opened) == opened.index["id"].to_pylist() == ids
    assert len(opened) == 5 and opened.complete
    assert ids[0] in opened and plan.items[2].id not in opened and 3 not in opened
    assert opened.get("nothing") is None
    assert dict(opened)[ids[3]].keys() == opened[ids[3]].keys()


def test_an_unknown_id_names_similar_ones(store):
    opened = FeatureStore(store)
    with pytest.raises(KeyError, match=r"'4é.jpg' is not among the 5 ids of .*most like it: 'd/4é\.jpg'"):
        opened["4é.jpg"]
    with pytest.raises(KeyError, match=r"most like it: 'd/3é\.jpg'"):
        opened["d/3è.jpg"]
    with pytest.raises(KeyError, match="most like it: 'd/"):
        opened[4]


def test_a_failed_item_gives_its_reason(store, plan):
    opened = FeatureStore(store)
    assert opened.failed == [
        (plan.items[2].id, plan.items[2].path, 'is truncated, it "ends" at 7 %'),
        (plan.items[6].id, plan.items[6].path, "is empty"),
    ]
    with pytest.raises(KeyError, match="could not be read when features were extracted: is empty"):
        opened[plan.items[6].id]


def test_the_index_says_what_is_known_of_an_item(store, plan):
    row = FeatureStore(store).index.slice(2, 1).to_pylist()[0]
    assert row.pop("maps_sha256") != row["weights_sha256"]
    item = plan.items[3]
    assert row == {
        "id": item.id,
        "path": item.path,
        "member": "",
        "time": None,
        "height": 480,
        "width": 640,
        "shard": 1,
        "package_version": "0.5.0",
        "model": "hiera_base_224",
        "weights_sha256": "ab" * 32,
        **{"res4_stride": 16, "res4_height": 3, "res4_width": 5, "res5_stride": 32, "res5_height": 2, "res5_width": 3},
    }


def test_one_vector_of_all_items(store, plan, make_features):
    opened = FeatureStore(store)
    ids, vectors = opened.vectors("logits")
    assert ids == list(opened) and vectors.dtype == np.float16
    wanted = [make_features(plan.items[place]).vectors["logits"] for place in (0, 1, 3, 4, 5)]
    np.testing.assert_array_equal(vectors, torch.stack(wanted).numpy())
    with pytest.raises(ValueError, match="has no vectors 'max'; those there are: logits, mean, roi"):
        opened.vectors("max")
    with pytest.raises(ValueError, match="several vectors 'roi' per item"):
        opened.vectors("roi")


def test_vectors_leave_no_file_open(store, monkeypatch):
    opened, files = FeatureStore(store), []
    monkeypatch.setattr(store_module, "open_rows", lambda path: files.append(open_rows(path)) or files[-1])
    opened.vectors("mean")
    assert len(files) == 3 and all(file.closed for file in files if file is not opened._open_table(0))


def test_some_of_an_item(store, plan):
    opened = FeatureStore(store)
    name = plan.items[4].id
    whole = opened[name]
    for names in (["res5"], ("logits", "res4", "mean"), ["roi"], []):
        some = opened.read(name, names)
        assert sorted(some) == sorted(names) and all(_same(values, whole[entry]) for entry, values in some.items())
    with pytest.raises(ValueError, match="no maps or vectors 'res3', 'max'; those there are: res4, res5, logits, mean"):
        opened.read(name, ["res3", "mean", "max"])
    with pytest.raises(KeyError, match="is not among the 5 ids"):
        opened.read("nothing", ["res4"])


def test_only_what_is_wanted_is_read(store, plan, monkeypatch):
    opened, maps, vectors = FeatureStore(store), [], []
    read_group = pq.ParquetFile.read_row_group

    class Maps:
        def get_tensor(self, name):
            return maps.append(name) or torch.zeros(1)

    def group(table, number, columns=None, **options):
        return vectors.append(columns) or read_group(table, number, columns=columns, **options)

    monkeypatch.setattr(opened, "_open_maps", lambda part: Maps())
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", group)
    name = plan.items[4].id
    opened.read(name, ["res5"])
    assert (maps, vectors) == ([f"{name}/res5"], [])
    opened.read(name, ["mean"])
    assert (maps, vectors) == ([f"{name}/res5"], [["mean"]])


def test_a_store_of_maps_alone_and_one_of_vectors_alone(tmp_path, spec, plan, write_parts):
    for name, options in (("maps", {"vectors": False}), ("vectors", {"maps": False})):
        create_store(tmp_path / name, spec, plan)
        write_parts(tmp_path / name, plan, **options)
    maps, vectors = FeatureStore(tmp_path / "maps"), FeatureStore(tmp_path / "vectors")
    assert maps[plan.items[4].id].keys() == {"res4", "res5"} == set(maps.stages)
    assert vectors[plan.items[4].id].keys() == {"mean", "logits", "roi"} == set(vectors.vector_names)
    assert vectors.stages == maps.vector_names == ()
    assert vectors.index["maps_sha256"].null_count == 5 and not list((tmp_path / "vectors").glob("*.safetensors"))
    with pytest.raises(ValueError, match="has no vectors 'mean'; those there are: none"):
        maps.vectors("mean")


def test_libraries_alone_can_read_it(store, plan, make_features):
    table = pq.read_table(store / "00001.parquet")
    np.testing.assert_array_equal(
        np.stack(table["mean"].to_numpy()), torch.stack([make_features(i).vectors["mean"] for i in plan[1]]).numpy()
    )
    with safe_open(store / "00001.safetensors", "np") as maps:
        assert len(maps.keys()) == 6
        for name in table["id"].to_pylist():
            wanted = make_features(Item(name, "")).maps["res5"]
            np.testing.assert_array_equal(maps.get_tensor(f"{name}/res5"), wanted.numpy())
    assert json.loads((store / "store.json").read_text())["items"] == 7
    with (store / "failed.csv").open(encoding="utf-8", newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == [plan.items[2].id, plan.items[6].id]


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum")
def test_sha256sum_can_check_it(store):
    names = [path.name for path in store.glob("*.sha256")]
    done = subprocess.run(["sha256sum", "--strict", "-c", *names], cwd=store, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    unchecked = {path.name for path in store.iterdir()} - {line.split(":")[0] for line in done.stdout.splitlines()}
    assert unchecked == {*names, "failed.csv"}


def test_an_unfinished_store_is_read_as_far_as_it_goes(store, caplog):
    (store / "00001.sha256").unlink()  # its other files do not count without it
    with caplog.at_level(logging.WARNING):
        opened = FeatureStore(store)
    assert not opened.complete and len(opened) == 2
    assert f"{store} is not finished: 2 of 3 shards are there" in caplog.text


def test_a_store_without_a_readable_item(tmp_path, spec):
    item = Item("a", "a.jpg")
    create_store(tmp_path / "s", spec, Plan([item], 1))
    assert not FeatureStore(tmp_path / "s").complete
    write_shard(tmp_path / "s", 0, [], [(item, "is empty")])
    assert write_failed(tmp_path / "s") == 1
    opened = FeatureStore(tmp_path / "s")
    assert opened.complete and len(opened) == 0 and opened.index.column_names[0] == "id"
    with pytest.raises(ValueError, match="those there are: none"):
        opened.vectors("mean")


def test_what_is_no_store(tmp_path, store):
    with pytest.raises(FileNotFoundError, match=r"is no store of features: it has no store\.json"):
        FeatureStore(tmp_path)
    text = (store / "store.json").read_text()
    for broken in (text[:-20], text.replace('"items"', '"item"'), "[]", text.replace('"format": 1', '"format": 2')):
        (store / "store.json").write_text(broken)
        with pytest.raises(ValueError, match=r"store\.json cannot be read"):
            FeatureStore(store)


@pytest.mark.parametrize("damage", ["gone", "cut", "empty"])
@pytest.mark.parametrize("name", ["00001.parquet", "00001.safetensors"])
def test_a_damaged_shard_is_named(store, plan, name, damage):
    content = (store / name).read_bytes()
    (store / name).unlink()
    if damage != "gone":
        (store / name).write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    with pytest.raises(ValueError, match=rf"{name}.*--verify") as caught:
        FeatureStore(store)[plan.items[3].id]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["00000.sha256", "00000.failed.csv"])
def test_a_damaged_text_file_of_a_shard_is_named(store, name):
    (store / name).write_bytes(b"")
    with pytest.raises(ValueError, match=rf"{name}.*--verify"):
        _ = FeatureStore(store).failed


def test_a_copy_for_another_process_opens_its_own_files(store, plan):
    opened = FeatureStore(store)
    wanted = opened[plan.items[3].id]
    copy = pickle.loads(pickle.dumps(opened))
    assert all(_same(copy[plan.items[3].id][name], values) for name, values in wanted.items())


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="no /proc")
def test_few_files_stay_open(tmp_path, spec, write_parts):
    root = tmp_path / "many"
    plan = Plan([Item(f"{i}", "p") for i in range(40, 80)], 2)
    create_store(root, spec, plan)
    write_parts(root, plan)
    opened = FeatureStore(root)
    for name in opened:
        opened[name]
    mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if str(root) in line}
    links = {str(path.resolve()) for path in Path("/proc/self/fd").iterdir()}
    assert len(mapped | {link for link in links if str(root) in link}) <= 8
