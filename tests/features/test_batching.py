from __future__ import annotations

import weakref

import numpy as np
import pytest

from hiera_det.features import batching
from hiera_det.features.batching import Batch, PartEnd, batches
from hiera_det.features.config import get_cfg
from hiera_det.features.items import Item, Plan
from hiera_det.features.reading import UnreadableItemError

BATCH = 4


@pytest.fixture
def cfg():
    cfg = get_cfg()
    cfg.DATALOADER.NUM_WORKERS, cfg.DATALOADER.BATCH_SIZE = 0, BATCH
    return cfg


@pytest.fixture
def alive(monkeypatch):
    """References to all prepared images, dead or alive."""
    references: list[weakref.ref] = []

    class Counted(batching.Prepared):
        def __init__(self, *values):
            super().__init__(*values)
            references.append(weakref.ref(self))

    monkeypatch.setattr(batching, "Prepared", Counted)
    return references


@pytest.mark.parametrize("sizes", [1, 3, 1000])
def test_all_come_once_and_few_wait(monkeypatch, cfg, alive, sizes):
    """However many sizes there are, images of four batches wait at most."""

    def read(item, **_):
        return np.zeros((32 * (1 + int(item.id) % sizes), 32, 3), np.uint8)

    monkeypatch.setattr(batching, "read_item", read)
    plan = Plan([Item(str(i), "nowhere") for i in range(200)], 90)
    seen: list[int] = []
    most = 0
    for step in batches(plan, [0, 1, 2], cfg):
        if isinstance(step, Batch):
            assert 1 <= len(step.images) <= BATCH and len({image.pixels.shape for image in step.images}) == 1
            seen += [int(image.item.id) for image in step.images]
            most = max(most, sum(reference() is not None for reference in alive))
        else:
            assert isinstance(step, PartEnd) and not step.failed
            assert sorted(seen) == list(range(min(90 * (step.part + 1), 200)))
    assert len(alive) == 200 and most <= 5 * BATCH  # with the batch that is out


def test_a_part_is_batched_alike_whatever_came_before(monkeypatch, cfg):
    monkeypatch.setattr(
        batching, "read_item", lambda item, **_: np.zeros((32 * (1 + int(item.id) % 3), 32, 3), np.uint8)
    )
    plan = Plan([Item(str(i), "nowhere") for i in range(60)], 20)

    def of_part_one(parts):
        groups, group = {}, []
        for step in batches(plan, parts, cfg):
            if isinstance(step, Batch):
                group.append([image.item.id for image in step.images])
            else:
                groups[step.part], group = group, []
        return groups[1]

    assert of_part_one([1]) == of_part_one([0, 1, 2]) == of_part_one([2, 1])


def test_what_fails_is_told_with_its_part(monkeypatch, cfg):
    def read(item, **_):
        if item.id == "3":
            raise UnreadableItemError("torn")
        return np.zeros((8, 8, 3), np.uint8)

    monkeypatch.setattr(batching, "read_item", read)
    outside = Item("5", "nowhere", boxes=((0.0, 0.0, 4.0, 40.0),))
    plan = Plan([Item(str(i), "nowhere") for i in range(5)] + [outside], 2)
    ends = [step for step in batches(plan, [0, 1, 2], cfg) if isinstance(step, PartEnd)]
    assert [[item.id for item, _ in end.failed] for end in ends] == [[], ["3"], ["5"]]
    assert ends[1].failed[0][1] == "torn" and "(8 x 8)" in ends[2].failed[0][1]
