"""Steps of training: all detectors learn from the same batches, and waiting for them is measured."""

from __future__ import annotations

import time
from itertools import repeat
from pathlib import Path

import pytest

from benchmarks.commands.train import _build, _shapes, compare_training, idle_share
from benchmarks.flops import count_flops
from benchmarks.models.detectors import DETECTORS, at_size
from benchmarks.rounds import Settings
from hiera_det.config import load_config
from hiera_det.data.catalog import dataset_keys

CONFIG = Path(__file__).parents[3] / "configs" / "quickstart.yaml"
SMALL = ["MODEL.HIERA.EMBED_DIM", "8", "MODEL.HIERA.STAGES", "[1, 1, 1, 1]", "MODEL.HIERA.GLOBAL_BLOCKS", "[2]"]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    return _shapes(tmp_path_factory.mktemp("train") / "shapes", 64)


@pytest.fixture(scope="module")
def cfg():
    made = at_size(load_config(CONFIG, [*SMALL, "DATALOADER.NUM_WORKERS", "0"]), 64)
    made.INPUT.MASK_FORMAT = "bitmask"
    made.DATASETS.TEST = ()
    return made


def on_shapes(cfg, shapes):
    cfg = cfg.clone()
    cfg.merge_from_list(dataset_keys(shapes, None))
    return cfg


@pytest.mark.parametrize("name", ["ours", "torchvision-resnet50", "detectron2"])
def test_a_step_trains(name, cfg, shapes):
    if name == "detectron2":
        pytest.importorskip("detectron2")
    batch = 2 if name == "ours" else 1
    job = _build(name, on_shapes(cfg, shapes), batch, "fp32", "cpu")
    assert job.items == batch
    assert count_flops(job.step) > 1e6
    assert set(job.details()) == ({"idle share"} if name == "ours" else set())


@pytest.mark.parametrize(
    ("name", "square", "counts"), [("ours", 64, True), ("ours", 0, False), ("torchvision-resnet50", 64, False)]
)
def test_operations_are_counted_where_all_steps_have_the_same(name, square, counts, cfg, shapes):
    own = cfg.clone()
    own.MODEL.HIERA.SQUARE_PAD = square
    job = _build(name, on_shapes(own, shapes), 1, "fp32", "cpu")
    assert job.counted is (job.step if counts else None)


def test_which_detectors_see_images_of_one_size(cfg):
    sizes = {}
    for side in 0, 64:
        cfg = cfg.clone()
        cfg.MODEL.HIERA.SQUARE_PAD = side
        sizes[side] = {name for name, source in DETECTORS.items() if source.one_size(cfg)}
    assert sizes == {0: {"detectron2-vitdet"}, 64: {"ours", "detectron2", "detectron2-vitdet"}}


def test_idle_share(monkeypatch):
    """Batches that take 1 s each, for steps of 3 s; those ready at the beginning do not count."""
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def wait(seconds):
        clock[0] += seconds

    def batches():
        yield from repeat(None, 12)
        while True:
            wait(1)
            yield None

    assert idle_share(batches(), lambda batch: wait(3), skipped=12, counted=5) == 0.25
    assert idle_share(repeat(None), lambda batch: wait(3), skipped=0, counted=3) == 0


def test_a_dataset_that_does_not_fit(cfg, shapes):
    axes = {"size": [64], "batch": [1], "dtype": ["fp32"], "threads": [1]}
    other = cfg.clone()
    other.MODEL.ROI_HEADS.NUM_CLASSES = 7
    with pytest.raises(ValueError, match=r"has 4 categories, but MODEL\.ROI_HEADS\.NUM_CLASSES is 7"):
        next(compare_training(other, [], axes, Settings(), shapes))
    with pytest.raises(ValueError, match="--vs timm: expected some of detectron2, detectron2-vitdet"):
        next(compare_training(cfg, ["timm"], axes, Settings()))
