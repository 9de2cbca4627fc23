from __future__ import annotations

import os
import weakref

import numpy as np
import pytest

from hiera_det.features import batching
from hiera_det.features.batching import Batch, PartEnd, Unreadable, batches
from hiera_det.features.config import defaults
from hiera_det.inputs.items import Item, Plan
from hiera_det.inputs.reading import UnreadableItemError

BATCH = 4


@pytest.fixture
def cfg():
    cfg = defaults()
    cfg.DATALOADER.NUM_WORKERS, cfg.DATALOADER.BATCH_SIZE = 0, BATCH
    return cfg


@pytest.fixture
def alive(monkeypatch):
    """References to all prepared images, dead or alive."""
    references: list[weakref.ref] = []

    class Counted(batching.Prepared):
        def __init__(self, *values, **named):
            super().__init__(*values, **named)
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
            assert isinstance(step, PartEnd)
            assert sorted(seen) == list(range(min(90 * (step.part + 1), 200)))
    assert len(seen) == 200 and BATCH <= most <= 5 * BATCH  # with the batch that is out


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
    cfg.FEATURES.VECTORS = ["roi"]
    outside = Item("5", "nowhere", boxes=((0.0, 0.0, 4.0, 40.0),))
    plan = Plan([Item(str(i), "nowhere") for i in range(5)] + [outside], 2)
    steps = [step for step in batches(plan, [0, 1, 2], cfg) if not isinstance(step, Batch)]
    assert [step.part if isinstance(step, PartEnd) else step.item.id for step in steps] == [0, "3", 1, "5", 2]
    assert isinstance(steps[1], Unreadable) and steps[1].reason == "torn"
    assert steps[3].reason.count("item 5") == 1 and "(8 x 8)" in steps[3].reason
    cfg.FEATURES.VECTORS = ["mean"]  # nobody asks for the boxes
    assert not [step for step in batches(plan, [2], cfg) if isinstance(step, Unreadable)]


def test_large_images_go_in_small_batches(monkeypatch, cfg):
    monkeypatch.setattr(batching, "_MAX_PIXELS", 64 * 64 * 3)
    monkeypatch.setattr(batching, "read_item", lambda item, **_: np.zeros((64, 50, 3), np.uint8))
    plan = Plan([Item(str(i), "nowhere") for i in range(8)], 8)
    assert [len(step.images) for step in batches(plan, [0], cfg) if isinstance(step, Batch)] == [3, 3, 2]
    monkeypatch.setattr(batching, "read_item", lambda item, **_: np.zeros((2, 64, 50, 3), np.uint8))  # clips
    assert [len(step.images) for step in batches(plan, [0], cfg) if isinstance(step, Batch)] == [2, 2, 2, 2]


def test_worker_memory_is_given_back(monkeypatch, cfg):
    """Tensors of workers cost an open file each."""
    cfg.DATALOADER.NUM_WORKERS, cfg.DATALOADER.BATCH_SIZE = 1, 100
    monkeypatch.setattr(batching, "read_item", lambda item, **_: np.zeros((8, 8, 3), np.uint8))
    plan = Plan([Item(str(i), "nowhere") for i in range(100)], 100)
    before = len(os.listdir("/proc/self/fd"))
    held = next(iter(batches(plan, [0], cfg)))
    assert isinstance(held, Batch) and len(held.images) == 100
    assert len(os.listdir("/proc/self/fd")) - before < 40
