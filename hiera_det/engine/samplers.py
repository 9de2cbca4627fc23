"""Samplers: which item goes where, the same in every run and on any number of workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import numpy as np
import torch
from torch.utils.data import Sampler

__all__ = ["InferenceSampler", "TrainingSampler", "drawn"]


class TrainingSampler(Sampler[tuple[int, int]]):
    """One rank's share of an endless stream of shuffled passes over the dataset.

    The stream is detectron2's (``detectron2/data/samplers/distributed_sampler.py``): permutations from one
    generator, one after the other; rank r takes positions r, r + world_size, ... Each element comes with a
    ``draw``, a 32-bit number that depends on the seed and the position in the stream alone.

    Args:
        size: number of items.
        seed: the same on all ranks.
        rank: of this process.
        world_size: number of processes.
        start: elements that this rank has consumed already; the stream goes on behind them.
    """

    def __init__(self, size: int, seed: int, rank: int = 0, world_size: int = 1, start: int = 0) -> None:
        if size < 1:
            raise ValueError(f"a training set of {size} items, expected at least 1")
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
                # 32 bits: torch's generator takes no more of a seed
                draw = int(np.random.SeedSequence([self.seed, position]).generate_state(1)[0])
                yield int(permutation[position - epoch * self.size]), draw
                position += self.world_size


class InferenceSampler(Sampler[int]):
    """One rank's contiguous share of all indices; shares differ in length by one at most."""

    def __init__(self, size: int, rank: int = 0, world_size: int = 1) -> None:
        self.indices = range(rank * size // world_size, (rank + 1) * size // world_size)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)

    def __len__(self) -> int:
        return len(self.indices)


@contextmanager
def drawn(draw: int) -> Iterator[None]:
    """Seed the CPU's random numbers by an item's draw, and leave the others and what comes after as they were."""
    # The CPU's generator only: torch.manual_seed would reseed the GPU's too.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(draw)
        yield
