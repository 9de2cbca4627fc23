"""A task's data for Lightning: batches from loaders, brought to the device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lightning as L
import torch
from torch.utils.data import DataLoader

from hiera_det.engine.loaders import build_loader
from hiera_det.engine.options import items_per_device
from hiera_det.engine.samplers import InferenceSampler, TrainingSampler
from hiera_det.engine.task import Task

__all__ = ["TaskData"]


class TaskData(L.LightningDataModule):
    """Training batches from the resumed iteration on; test items, each on one rank.

    A training batch is a list of ``accumulate`` micro-batches: one optimizer step's items of this device.

    Args:
        task: whose data it is.
        accumulate: micro-batches of a batch.
    """

    def __init__(self, task: Task, accumulate: int) -> None:
        super().__init__()
        self.task = task
        self.accumulate = accumulate

    def train_dataloader(self) -> _Steps:
        """An endless stream that goes on where the run stands."""
        trainer: Any = self.trainer
        items = items_per_device(self.task.cfg, trainer.world_size, self.accumulate)
        sampler = TrainingSampler(
            len(self.task.train_dataset),  # type: ignore[arg-type]
            trainer.lightning_module.seed,
            rank=trainer.global_rank,
            world_size=trainer.world_size,
            start=trainer.global_step * items,
        )
        size, workers = items // self.accumulate, self.task.cfg.DATALOADER.NUM_WORKERS
        loader = build_loader(self.task.train_dataset, sampler, size, self.task.collate, workers)
        return _Steps(loader, self.accumulate)

    def val_dataloader(self) -> DataLoader | list:
        """The share of this rank in the test items, in order."""
        trainer: Any = self.trainer
        dataset: Any = self.task.test_dataset
        if dataset is None:
            return []
        sampler = InferenceSampler(len(dataset), trainer.global_rank, trainer.world_size)
        size, workers = self.task.test_batch_size, self.task.cfg.DATALOADER.NUM_WORKERS
        return build_loader(dataset, sampler, size, self.task.collate, workers)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Bring a test batch to the device; micro-batches go there one by one, as they are needed."""
        trainer: Any = self.trainer
        return batch if trainer.training else self.task.to_device(batch, device)


class _Steps:
    """Batches of a loader, ``number`` at a time; few are in memory at once, as they are read one by one."""

    def __init__(self, loader: DataLoader, number: int) -> None:
        self.loader, self.number = loader, number

    def __iter__(self) -> Iterator[list[Any]]:
        batches = iter(self.loader)
        while True:  # the loader has no end
            yield [next(batches) for _ in range(self.number)]
