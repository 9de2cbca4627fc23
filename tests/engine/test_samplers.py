from __future__ import annotations

from itertools import islice

import pytest
import torch

from hiera_det.config import get_cfg
from hiera_det.detection.data.coco import CocoDataset
from hiera_det.detection.data.transforms import build_test_transform, build_train_transform
from hiera_det.detection.task import DetectionTask
from hiera_det.engine.loaders import build_loader
from hiera_det.engine.samplers import InferenceSampler, TrainingSampler


def _take(count, **options):
    return list(islice(TrainingSampler(**{"size": 7, "seed": 3, "rank": 0, "world_size": 1} | options), count))


def test_stream_is_detectron2s():
    generator = torch.Generator().manual_seed(3)
    expected = [i for _ in range(3) for i in torch.randperm(7, generator=generator).tolist()]
    assert [index for index, _ in _take(21)] == expected


def test_ranks_share_one_stream():
    whole = _take(60)
    ranks = [_take(20, rank=rank, world_size=3) for rank in range(3)]
    assert [ranks[position % 3][position // 3] for position in range(60)] == whole


@pytest.mark.parametrize("world_size", [1, 2, 10])
@pytest.mark.parametrize("start", [0, 1, 6, 7, 8, 50])
def test_resumed_stream_goes_on(start, world_size):
    for rank in {0, world_size - 1}:
        options = {"rank": rank, "world_size": world_size}
        assert _take(12, start=start, **options) == _take(start + 12, **options)[start:]


def test_draws():
    draws = [draw for _, draw in _take(20000)]
    assert len(set(draws)) == len(draws)
    assert all(0 <= draw < 2**32 for draw in draws)  # torch's generator takes no more of a seed
    assert {draw for _, draw in _take(2000, seed=4)}.isdisjoint(draws[:2000])
    assert 0.45 < sum(draw > 2**31 for draw in draws) / len(draws) < 0.55


def test_empty_training_set():
    with pytest.raises(ValueError, match="0 items"):
        TrainingSampler(0, 1, 0, 1)


@pytest.mark.parametrize(("size", "world_size"), [(10, 1), (10, 3), (3, 4), (0, 2)])
def test_inference_shares(size, world_size):
    samplers = [InferenceSampler(size, rank, world_size) for rank in range(world_size)]
    assert [index for sampler in samplers for index in sampler] == list(range(size))
    assert [len(list(sampler)) for sampler in samplers] == [len(sampler) for sampler in samplers]
    assert max(map(len, samplers)) - min(map(len, samplers)) <= 1


def test_collate():
    items = [(torch.zeros(3, 4, 5), {"image_id": 1}), (torch.ones(3, 6, 7), {"image_id": 2})]
    images, targets = DetectionTask.collate(items)
    assert [tuple(image.shape) for image in images] == [(3, 4, 5), (3, 6, 7)]
    assert targets == [{"image_id": 1}, {"image_id": 2}]


@pytest.fixture
def cfg():
    cfg = get_cfg()
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MAX_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TEST = (20, 30, 40), 64, 0
    cfg.DATALOADER.NUM_WORKERS = 0
    return cfg


def _dataset(files, transform):
    return CocoDataset(files, transform, image_format="RGB", mask_format="polygon", filter_empty=False)


def _batches(dataset, count, workers=0, seed=7, start=0):
    loader = build_loader(dataset, TrainingSampler(len(dataset), seed, start=start), 2, DetectionTask.collate, workers)
    return [
        [
            (t["image_id"], image.sum().item(), tuple(image.shape), t["boxes"].tolist())
            for image, t in zip(*batch, strict=True)
        ]
        for batch in islice(loader, count)
    ]


def test_training_batches_depend_on_neither_workers_nor_history(write, content, cfg):
    dataset = _dataset(write(content), build_train_transform(cfg))
    alone = _batches(dataset, 6)
    assert all(len(batch) == 2 for batch in alone)
    assert len({str(batch) for batch in alone}) == 6
    assert _batches(dataset, 3, start=6) == alone[3:]
    assert _batches(dataset, 6, seed=8) != alone
    assert _batches(dataset, 6, workers=2) == alone


def test_shares_of_a_test_set(write, content, cfg):
    dataset = _dataset(write(content), build_test_transform(cfg))
    samplers = [InferenceSampler(len(dataset), rank, 2) for rank in range(2)]
    loaders = [build_loader(dataset, sampler, 1, DetectionTask.collate, 0) for sampler in samplers]
    assert [[target["image_id"] for _, targets in loader for target in targets] for loader in loaders] == [[3], [7]]
