from __future__ import annotations

import json
import pickle
from dataclasses import FrozenInstanceError, replace

import pytest

from hiera_det.inputs.items import Item, Plan

ITEMS = [Item(f"{i}.jpg", f"/data/{i}.jpg") for i in range(7)]


def test_an_item_is_a_value():
    item = Item("a", "/a.mp4", time=1.5, boxes=((1.0, 2.0, 3.0, 4.0),))
    assert pickle.loads(pickle.dumps(item)) == item
    assert hash(item) == hash(replace(item))
    with pytest.raises(FrozenInstanceError):
        item.id = "b"


@pytest.mark.parametrize(
    ("item", "source"),
    [
        (Item("a.jpg", "/d/a.jpg"), "/d/a.jpg"),
        (Item("a.jpg", "/d/s.tar", "a.jpg", 512, 10), "/d/s.tar:a.jpg"),
        (Item("a.mp4@2.000", "/d/a.mp4", time=2.0), "/d/a.mp4 at 2.000 s"),
    ],
)
def test_source(item, source):
    assert item.source == source


@pytest.mark.parametrize(("size", "lengths"), [(3, [3, 3, 1]), (7, [7]), (100, [7]), (1, [1] * 7)])
def test_parts(size, lengths):
    plan = Plan(ITEMS, size)
    assert len(plan) == len(lengths)
    assert [len(part) for part in plan] == lengths
    assert [item for index in range(len(plan)) for item in plan[index]] == ITEMS


def test_parts_that_are_not_there():
    plan = Plan(ITEMS, 3)
    for index in (3, -1):
        with pytest.raises(IndexError, match=f"part {index} of a plan of 3"):
            plan[index]
    with pytest.raises(ValueError, match="0 items per part"):
        Plan(ITEMS, 0)
    assert list(Plan([], 3)) == []


def test_digest_is_of_the_items():
    digest = Plan(ITEMS, 3).digest
    assert digest == Plan(list(ITEMS), 4).digest
    assert len(bytes.fromhex(digest)) == 32
    assert digest != Plan(ITEMS[::-1], 3).digest
    assert digest != Plan(ITEMS[:-1], 3).digest


@pytest.mark.parametrize(
    "change", [{"id": "x"}, {"path": "x"}, {"member": "x"}, {"time": 0.0}, {"boxes": ((0.0, 0.0, 1.0, 1.0),)}]
)
def test_digest_sees(change):
    assert Plan([replace(ITEMS[0], **change)], 1).digest != Plan(ITEMS[:1], 1).digest


def test_digest_does_not_mix_fields():
    assert Plan([Item("a", "b")], 1).digest != Plan([Item("ab", "")], 1).digest
    tricky = json.dumps(["a", "b"])
    assert Plan([Item(tricky, "c")], 1).digest != Plan([Item("a", "b"), Item("c", "")], 1).digest
