"""A small store, and features to fill others."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hiera_det.features.store.reader import Features
from hiera_det.features.store.writer import create_store, write_failed, write_shard
from hiera_det.inputs.items import Item, Plan

SPEC = {"package_version": "0.5.0", "model": "hiera_base_224", "weights_sha256": "ab" * 32, "INPUT.SIZE": 224}
UNREADABLE = {2: 'is truncated, it "ends" at 7 %', 6: "is empty"}


@pytest.fixture
def spec():
    return dict(SPEC)


@pytest.fixture
def plan():
    """Seven items in parts of three."""
    return Plan([Item(f"d/{i}é.jpg", f"/data/d/{i}é.jpg") for i in range(7)], 3)


@pytest.fixture
def make_features():
    """Features of an item: random, and the same for the same id."""

    def make(item, dtype=torch.float16, frames=0, maps=True, vectors=True):
        draw = torch.Generator().manual_seed(sum(item.id.encode()))
        time = (frames,) if frames else ()

        def values(*shape):
            return torch.randn(*shape, generator=draw).to(dtype)

        return Features(
            item,
            480,
            640,
            {"res4": values(4, *time, 3, 5), "res5": values(8, *time, 2, 3)} if maps else {},
            {"res4": 16, "res5": 32} if maps else {},
            {"mean": values(8), "logits": values(10), "roi": values(len(item.boxes), 8)} if vectors else {},
        )

    return make


@pytest.fixture
def write_parts(make_features):
    """Writes parts of a plan: all of them, or those named; `UNREADABLE` items fail."""

    def write(root, plan, parts=None, **options):
        for part in range(len(plan)) if parts is None else parts:
            places = range(part * plan.items_per_part, part * plan.items_per_part + len(plan[part]))
            pairs = list(zip(places, plan[part], strict=True))
            features = [make_features(item, **options) for place, item in pairs if place not in UNREADABLE]
            write_shard(root, part, features, [(item, UNREADABLE[at]) for at, item in pairs if at in UNREADABLE])

    return write


@pytest.fixture
def store(tmp_path, plan, spec, write_parts) -> Path:
    """A finished store: one shard with a failure, one without, one in which all failed."""
    root = tmp_path / "store"
    create_store(root, spec, plan)
    write_parts(root, plan)
    write_failed(root)
    return root


@pytest.fixture
def root(tmp_path, spec, plan):
    """A store without shards."""
    create_store(tmp_path / "new", spec, plan)
    return tmp_path / "new"


@pytest.fixture
def content():
    """``content(folder)``: the bytes of each file in it, by relative path."""

    def read(root):
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    return read
