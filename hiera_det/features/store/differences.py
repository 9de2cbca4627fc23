"""In what a store differs from the one that a run would make."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hiera_det.features.store.layout import FAILED, TABLE, Header, done_parts, read_failures, shard_name
from hiera_det.features.store.reader import READ_ERRORS
from hiera_det.features.store.rows import read_index
from hiera_det.inputs.items import Item, Plan

__all__ = ["differences"]


def differences(root: Path, there: Header, this: Header, plan: Plan) -> list[str]:
    """Compare a store with a run.

    Args:
        root: folder of the store.
        there: its header.
        this: the header that the run would write.
        plan: the run's items.

    Returns:
        A line for each key of the spec and each count that differs, and one that names the first item that does.
    """
    old, new = ({**header.spec, **_counts(header)} for header in (there, this))
    lines = [
        f"{key:.80}: store has {old.get(key, 'nothing')!s:.200}, this run {new.get(key, 'nothing')}"
        for key in sorted(old.keys() | new.keys())
        if (key in old, old.get(key)) != (key in new, new.get(key))
    ]
    return lines if there.plan == this.plan else [*lines, _first_item(root, there, plan)]


def _counts(header: Header) -> dict[str, int]:
    return {"items": header.items, "items_per_shard": header.items_per_shard}


def _first_item(root: Path, there: Header, plan: Plan) -> str:
    done = sorted(done_parts(root))
    for index in done:
        start = index * there.items_per_shard
        ours = [_known(item) for item in plan.items[start : start + there.items_of(index)]]
        try:
            rows, failures = _stored(root, index)
        except READ_ERRORS:
            continue  # it is --verify that tells of damage
        for place in range(there.items_of(index)):
            our = ours[place] if place < len(ours) else None
            if rows and rows[0] == our:
                del rows[0]
            elif our and failures and failures[0] == _short(our):
                del failures[0]
            else:
                theirs = _theirs(rows, failures, our, ours)
                return f"item {start + place + 1}: store has {_text(theirs)}, this run {_text(our)}"
    return (
        f"items: those of the {len(done)} finished shards are the same by id and file; what differs is boxes, or items"
        " of other shards"
    )


def _stored(root: Path, index: int) -> tuple[list[Item], list[Item]]:
    """What a shard's table and its list of failures know of its items; each is in order."""
    table, failed = (root / shard_name(index, ending) for ending in (TABLE, FAILED))
    rows = read_index(table, index).select(["id", "path", "member", "time"]).to_pylist() if table.exists() else []
    failures = read_failures(failed) if failed.exists() else []
    return [Item(**row) for row in rows], [Item(failure.id, failure.path) for failure in failures]


def _theirs(rows: Sequence[Item], failures: Sequence[Item], our: Item | None, ours: Sequence[Item]) -> Item | None:
    """The store's item at a place: the next row or the next that failed; which of the two came first is not kept."""
    shared = {_short(item) for item in ours}
    first = [*rows[:1], *failures[:1]]
    return min(first, key=lambda one: (our is None or one.id != our.id, _short(one) in shared), default=None)


def _known(item: Item) -> Item:
    """As a table knows it."""
    return Item(item.id, item.path, item.member, time=item.time)


def _short(item: Item) -> Item:
    """As a list of failures knows it."""
    return Item(item.id, item.path)


def _text(item: Item | None) -> str:
    return "nothing" if item is None else f"{item.id!r} ({item.source})"
