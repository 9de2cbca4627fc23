from __future__ import annotations

import shutil

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from hiera_det.features.store.layout import sums_text
from hiera_det.features.store.verify import verify_store
from hiera_det.features.store.writer import create_store, write_failed, write_shard
from hiera_det.inputs.items import Item, Plan
from hiera_det.utils.files import file_sum

SHARD_FILES = [
    *("00000.parquet", "00000.safetensors", "00000.failed.csv", "00000.sha256"),
    *("00001.parquet", "00001.safetensors", "00001.sha256", "00002.failed.csv", "00002.sha256"),
]
FILES = [*SHARD_FILES, "store.json", "store.sha256", "failed.csv"]


def _renew_sums(root, index):
    names = [f"{index:05d}.{ending}" for ending in ("failed.csv", "parquet", "safetensors")]
    sums = {name: file_sum(root / name) for name in names if (root / name).exists()}
    (root / f"{index:05d}.sha256").write_text(sums_text(sums))


def test_a_finished_store_is_sound(store):
    assert {path.name for path in store.iterdir()} == set(FILES)
    assert verify_store(store) == []


@pytest.mark.parametrize("name", FILES)
def test_any_changed_byte_is_found(store, name):
    content = (store / name).read_bytes()
    for number, place in enumerate(np.linspace(0, len(content) - 1, 40).round().astype(int)):
        changed = bytearray(content)
        changed[place] ^= (0x01, 0x07, 0x20, 0x80)[number % 4]  # 0x07 makes a carriage return of a line's end
        (store / name).write_bytes(changed)
        problems = verify_store(store)
        assert any(name.split(".")[0] in problem for problem in problems), f"byte {place} of {len(content)}"
        assert not any("\n" in problem for problem in problems)
    (store / name).write_bytes(content)
    assert verify_store(store) == []


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "longer", "a folder"])
def test_a_file_that_is_not_whole_is_found(store, name, damage):
    content = (store / name).read_bytes()
    (store / name).unlink()
    if damage == "a folder":
        (store / name).mkdir()
    elif damage != "gone":
        (store / name).write_bytes({"empty": b"", "cut": content[:-1], "longer": content + b"\n"}[damage])
    problems = verify_store(store)
    assert any(name in problem for problem in problems)


def test_a_file_that_a_checksum_does_not_cover_is_found(store):
    shutil.copy(store / "00000.failed.csv", store / "00001.failed.csv")
    assert verify_store(store)[0] == f"{store / '00001.failed.csv'} is there, but not among the shard's checksums"


def test_items_whose_maps_have_changed_are_named(store, plan):
    maps = load_file(store / "00001.safetensors")
    maps[f"{plan.items[4].id}/res4"][0, 0, 0] += 1
    save_file(maps, store / "00001.safetensors")
    changed = f"{store / '00001.safetensors'}: the maps of 1 items have changed: {plan.items[4].id}"
    assert verify_store(store) == [f"{store / '00001.safetensors'} has changed: its checksum is another", changed]
    _renew_sums(store, 1)
    assert verify_store(store) == [changed]


def test_maps_and_table_are_of_the_same_items(store, plan):
    maps = load_file(store / "00001.safetensors")
    save_file({**maps, "other/res4": maps[f"{plan.items[4].id}/res4"].clone()}, store / "00001.safetensors")
    _renew_sums(store, 1)
    assert verify_store(store) == [f"{store / '00001.safetensors'} has maps that the table does not know: other/res4"]
    del maps[f"{plan.items[4].id}/res5"]
    save_file(maps, store / "00001.safetensors")
    _renew_sums(store, 1)
    assert [f"{plan.items[4].id}/res5" in problem for problem in verify_store(store)] == [True]
    (store / "00001.safetensors").unlink()
    _renew_sums(store, 1)
    assert ["00001.safetensors" in problem for problem in verify_store(store)] == [True]


def test_an_unfinished_store_lacks_shards(tmp_path, spec, plan, write_parts):
    create_store(tmp_path / "s", spec, plan)
    write_parts(tmp_path / "s", plan, [1])
    assert verify_store(tmp_path / "s") == [
        f"{tmp_path / 's'}: 2 of 3 shards are not there (00000.sha256, 00002.sha256); run the extraction again to go on"
    ]


def test_a_killed_run_may_have_left_files(store):
    (store / "tmp.node-1-0123abcd.00007").mkdir()
    assert verify_store(store) == []


def test_shards_of_another_store_are_found(store, tmp_path, spec, make_features):
    """Two ids a second time, as many items as there should be."""
    plan = Plan([Item(f"d/{i}é.jpg", "p") for i in (7, 8, 9, 0, 1, 5)], 3)
    create_store(tmp_path / "other", spec, plan)
    for index, problem in (
        (1, f"{store}: 2 ids are there more than once: d/0é.jpg, d/1é.jpg"),
        (0, f"shard 1 of {store} cannot be read: it is the table of another shard"),
    ):
        write_shard(tmp_path / "other", index, [make_features(item) for item in plan[index]], [])
        for ending in ("parquet", "safetensors"):
            shutil.copy(tmp_path / "other" / f"{index:05d}.{ending}", store / f"00001.{ending}")
        _renew_sums(store, 1)
        assert verify_store(store) == [problem]


def test_too_few_and_too_many_items_are_found(store, spec, plan, tmp_path):
    create_store(tmp_path / "other", spec, Plan([*plan.items, *(Item(f"{i}", "p") for i in range(3))], 4))
    for name in ("store.json", "store.sha256"):
        shutil.copy(tmp_path / "other" / name, store / name)
    assert verify_store(store) == [
        f"shard 0 of {store}: 2 items and 1 failed; expected 4 together",
        f"shard 1 of {store}: 3 items and 0 failed; expected 4 together",
        f"shard 2 of {store}: 0 items and 1 failed; expected 2 together",
    ]
    create_store(tmp_path / "third", spec, Plan(plan.items[:6], 3))
    for name in ("store.json", "store.sha256"):
        shutil.copy(tmp_path / "third" / name, store / name)
    assert verify_store(store) == [
        f"{store}: 1 shards are more than 6 items need: 00002.sha256",
        f"shard 2 of {store}: 0 items and 1 failed; expected 0 together",
    ]


def test_the_list_of_failures_is_that_of_the_shards(store):
    (store / "failed.csv").write_text("id,path,reason\n")
    assert verify_store(store) == [
        f"{store / 'failed.csv'} has changed: it is not what the shards say; run the extraction again to go on"
    ]
    write_failed(store)
    assert verify_store(store) == []


def test_what_is_no_store(tmp_path):
    assert verify_store(tmp_path) == [
        f"{tmp_path} is no store of features: it has no store.json; give the folder of an extraction"
    ]
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        verify_store(tmp_path / "nothing")
