"""Samplers and loaders: which image goes where, the same in every run and on any number of workers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import torch
from fvcore.common.config import CfgNode
from torch.utils.data import DataLoader, Sampler

from hiera_det.detection.data.coco import CocoDataset

__all__ = ["InferenceSampler", "TrainingSampler", "build_test_loader", "build_train_loader", "collate"]

Batch = tuple[list[torch.Tensor], list[dict[str, Any]]]


class TrainingSampler(Sampler[tuple[int, int]]):
    """One rank's share of an endless stream of shuffled passes over the dataset.

    The stream is detectron2's (``detectron2/data/samplers/distributed_sampler.py``): permutations from one
    generator, one after the other; rank r takes positions r, r + world_size, ... Each element comes with a
    ``draw``, a number that is different at every position of the stream and depends on the seed and the
    position alone.

    Args:
        size: number of images.
        seed: the same on all ranks.
        rank: of this process.
        world_size: number of processes.
        start: elements that this rank has consumed already; the stream goes on behind them.
    """

    def __init__(self, size: int, seed: int, rank: int, world_size: int, start: int = 0) -> None:
        if size < 1:
            raise ValueError(f"a training set of {size} images, expected at least 1")
        self.size = size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.start = start

    def __iter__(self) -> Iterator[tuple[int, int]]:
        generator = torch.Generator().manual_seed(self.seed)
        position = self.rank + self.start * self.world_size
        for epoch in count():
            permutation = torch.randperm(self.size, generator=generator)
            while position < (epoch + 1) * self.size:
                yield int(permutation[position - epoch * self.size]), _draw(self.seed, position)
                position += self.world_size


def _draw(seed: int, position: int) -> int:
    """Scatter positions over 32 bits (all that torch's generator uses), one to one, as MurmurHash3 ends."""
    bits = (position + seed * 0x9E3779B9) & 0xFFFFFFFF
    for factor, shift in ((0x85EBCA6B, 16), (0xC2B2AE35, 13)):
        bits = ((bits ^ (bits >> shift)) * factor) & 0xFFFFFFFF
    return bits ^ (bits >> 16)


class InferenceSampler(Sampler[int]):
    """One rank's contiguous share of all indices; shares differ in length by one at most."""

    def __init__(self, size: int, rank: int, world_size: int) -> None:
        self.indices = range(rank * size // world_size, (rank + 1) * size // world_size)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)

    def __len__(self) -> int:
        return len(self.indices)


def collate(batch: list[tuple[torch.Tensor, dict[str, Any]]]) -> Batch:
    """Images, of different sizes, and targets as two lists."""
    images, targets = zip(*batch, strict=True)
    return list(images), list(targets)


def build_train_loader(
    dataset: CocoDataset,
    cfg: CfgNode,
    *,
    images_per_device: int,
    rank: int,
    world_size: int,
    seed: int,
    start: int,
) -> DataLoader[Batch]:
    """An endless loader of training batches for one rank.

    Args:
        dataset: with a training transform.
        cfg: ``DATALOADER.NUM_WORKERS`` is read.
        images_per_device: batch size of this rank.
        rank: of this process.
        world_size: number of processes.
        seed: of the order and of all augmentation.
        start: images that this rank has consumed already.
    """
    return DataLoader(
        dataset,
        batch_size=images_per_device,
        sampler=TrainingSampler(len(dataset), seed, rank, world_size, start),
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        collate_fn=collate,
        pin_memory=torch.cuda.is_available(),
    )


def build_test_loader(dataset: CocoDataset, cfg: CfgNode, *, rank: int, world_size: int) -> DataLoader[Batch]:
    """A loader of single images, in order, for one rank."""
    return DataLoader(
        dataset,
        batch_size=1,
        sampler=InferenceSampler(len(dataset), rank, world_size),
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        collate_fn=collate,
        pin_memory=torch.cuda.is_available(),
    )
