from __future__ import annotations

from dataclasses import replace

import pytest

from hiera_det.features.store.writer import create_store, write_failed, write_shard
from hiera_det.inputs.items import Item, Plan

SAME = (
    "items: those of the {} finished shards are the same by id and file; what differs is boxes, or items of"
    " other shards"
)
BOX = ((0.0, 0.0, 1.0, 1.0),)


def _refused(store, spec, plan):
    with pytest.raises(ValueError, match="other settings or for other items") as caught:
        create_store(store, spec, plan)
    return str(caught.value).splitlines()[1:-1]


def _named(place, path="/data"):
    return f"'d/{place}é.jpg' ({path}/d/{place}é.jpg)"


def _moved(item):
    return replace(item, path=f"/mnt{item.path.removeprefix('/data')}")


X = Item("x", "x.jpg")


@pytest.mark.parametrize(
    ("change", "number", "theirs", "our"),
    [
        (lambda items: items[:6], 7, _named(6), "nothing"),
        (lambda items: items[1:], 1, _named(0), _named(1)),
        (lambda items: items[::-1], 1, _named(0), _named(6)),
        (lambda items: [_moved(item) for item in items], 1, _named(0), _named(0, "/mnt")),
        (lambda items: [*items[:6], _moved(items[6])], 7, _named(6), _named(6, "/mnt")),
        (lambda items: [X, *items[1:]], 1, _named(0), "'x' (x.jpg)"),
        (lambda items: [*items[:2], X, *items[3:]], 3, _named(2), "'x' (x.jpg)"),
        (lambda items: [*items[:2], X, *items[2:]], 3, _named(2), "'x' (x.jpg)"),
        (lambda items: [*items[:4], items[5], items[4], items[6]], 5, _named(4), _named(5)),
    ],
)
def test_the_first_item_that_differs_is_named(store, spec, plan, change, number, theirs, our):
    items = change(list(plan.items))
    counts = [f"items: store has 7, this run {len(items)}"] if len(items) != 7 else []
    assert _refused(store, spec, Plan(items, 3)) == [*counts, f"item {number}: store has {theirs}, this run {our}"]


@pytest.mark.parametrize("change", [_moved, lambda item: replace(item, id="x") if "0" in item.id else item])
def test_a_failed_item_that_stands_before_others(tmp_path, spec, plan, make_features, change):
    """Where it stood is not kept."""
    first, *others = plan[0]
    create_store(tmp_path, spec, Plan(plan[0], 3))
    write_shard(tmp_path, 0, [make_features(item) for item in others], [(first, "is empty")])
    items = [change(item) for item in plan[0]]
    line = f"item 1: store has {_named(0)}, this run {items[0].id!r} ({items[0].path})"
    assert _refused(tmp_path, spec, Plan(items, 3)) == [line]


def test_items_that_are_alike_by_id_and_file(store, spec, plan):
    assert _refused(store, spec, Plan([*plan.items[:6], replace(plan.items[6], boxes=BOX)], 3)) == [SAME.format(3)]
    assert _refused(store, spec, Plan([*plan.items, X], 3)) == ["items: store has 7, this run 8", SAME.format(3)]


def test_another_size_of_shards_is_no_difference_of_items(store, spec, plan):
    assert _refused(store, spec, Plan(plan.items, 4)) == ["items_per_shard: store has 3, this run 4"]
    assert _refused(store, spec, Plan([*plan.items[:4], Item("x", "y"), *plan.items[5:]], 4)) == [
        "items_per_shard: store has 3, this run 4",
        f"item 5: store has {_named(4)}, this run 'x' (y)",
    ]


def test_items_of_finished_shards_are_compared(store, spec, plan):
    for index in (0, 1):
        (store / f"{index:05d}.sha256").unlink()
    other = Plan([Item("x", "x"), *plan.items[1:]], 3)
    assert _refused(store, spec, other) == [SAME.format(1)]
    assert _refused(store, spec, Plan([*other.items[:6], Item("y", "y")], 3)) == [
        f"item 7: store has {_named(6)}, this run 'y' (y)"
    ]


def test_a_damaged_shard_does_not_hide_the_refusal(store, spec, plan):
    (store / "00000.parquet").write_bytes(b"")
    lines = _refused(store, spec, Plan([Item("x", "x"), *plan.items[1:5], Item("y", "y"), plan.items[6]], 3))
    assert lines == [f"item 6: store has {_named(5)}, this run 'y' (y)"]


def test_members_and_times_are_told(tmp_path, spec, make_features):
    items = [Item("a", "1.tar", "a.jpg"), Item("v@2.000", "v.mp4", time=2.0), Item("b", "1.tar", "b.jpg")]
    create_store(tmp_path, spec, Plan(items, 3))
    write_shard(tmp_path, 0, [make_features(item) for item in items[:2]], [(items[2], "is empty")])
    write_failed(tmp_path)
    assert _refused(tmp_path, spec, Plan([replace(items[0], member="c.jpg"), *items[1:]], 3)) == [
        "item 1: store has 'a' (1.tar:a.jpg), this run 'a' (1.tar:c.jpg)"
    ]
    assert _refused(tmp_path, spec, Plan([items[0], replace(items[1], time=2.1), items[2]], 3)) == [
        "item 2: store has 'v@2.000' (v.mp4 at 2.000 s), this run 'v@2.000' (v.mp4 at 2.100 s)"
    ]


def test_clips_and_members_that_failed_are_the_same(tmp_path, spec):
    """A list of failures knows no member and no time."""
    items = [Item("a", "1.tar", "a.jpg"), Item("v@2.000", "v.mp4", time=2.0)]
    create_store(tmp_path, spec, Plan(items, 2))
    write_shard(tmp_path, 0, [], [(item, "is empty") for item in items])
    assert _refused(tmp_path, spec, Plan([*items, Item("x", "x")], 2))[1] == SAME.format(1)
