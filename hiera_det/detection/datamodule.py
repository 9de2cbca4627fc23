"""The datasets of a run and their loaders, for Lightning."""

from __future__ import annotations

import logging
import signal
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import lightning as L
import torch
from fvcore.common.config import CfgNode
from torch import Tensor
from torch.utils.data import DataLoader

from hiera_det.data.catalog import DatasetFiles, resolve_dataset
from hiera_det.detection.coco_evaluator import CocoEvaluator
from hiera_det.detection.data.coco import CocoDataset
from hiera_det.detection.data.transforms import build_test_transform, build_train_transform
from hiera_det.engine.loaders import build_test_loader, build_train_loader
from hiera_det.engine.options import images_per_batch

__all__ = ["DetectionData", "check_classes"]

logger = logging.getLogger(__name__)


class DetectionData(L.LightningDataModule):
    """Training images from the resumed iteration on; test images, each on one rank.

    Args:
        cfg: the config.
        train: dataset files in place of those of ``DATASETS.TRAIN``.
        test: dataset files in place of those of ``DATASETS.TEST``.

    Attributes:
        test_evaluator: of the test set; there once :attr:`test_dataset` has been read.

    Datasets are read when they are first asked for. That raises ValueError if ``DATASETS`` names several, or one with
    another number of categories than the model has, or a test set that :class:`CocoEvaluator` refuses, and
    FileNotFoundError if files are missing.
    """

    def __init__(self, cfg: CfgNode, train: DatasetFiles | None = None, test: DatasetFiles | None = None) -> None:
        super().__init__()
        self.cfg = cfg
        self._files = {"TRAIN": train, "TEST": test}
        self._train: CocoDataset | None = None
        self._test: CocoDataset | None = None

    @property
    def train_dataset(self) -> CocoDataset:
        """The training set, read when it is first needed."""
        if self._train is None:
            files = self._files["TRAIN"] or _only_dataset(self.cfg, "TRAIN")
            if files is None:
                raise ValueError("DATASETS.TRAIN is empty: nothing to train on")
            masks = self.cfg.INPUT.MASK_FORMAT if self.cfg.MODEL.MASK_ON else None
            filter_empty = self.cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS
            transform = build_train_transform(self.cfg)
            self._train = self._read(files, "TRAIN", transform, masks, filter_empty)
        return self._train

    @property
    def test_dataset(self) -> CocoDataset | None:
        """The test set, read when it is first needed; None if ``DATASETS.TEST`` is empty."""
        if self._test is None and (files := self._files["TEST"] or _only_dataset(self.cfg, "TEST")):
            self._test = self._read(files, "TEST", build_test_transform(self.cfg), None, filter_empty=False)
            iou_types = ("bbox", "segm") if self.cfg.MODEL.MASK_ON else ("bbox",)
            # Made here, so that what it refuses is refused before training.
            self.test_evaluator = CocoEvaluator(files, self._test.category_ids, iou_types)
        return self._test

    def train_dataloader(self) -> DataLoader:
        """An endless stream that goes on where the run stands."""
        assert self.trainer is not None
        trainer = self.trainer
        images = images_per_batch(self.cfg, trainer.world_size, trainer.accumulate_grad_batches)
        loader = build_train_loader(
            self.train_dataset,
            self.cfg,
            images_per_device=images,
            rank=trainer.global_rank,
            world_size=trainer.world_size,
            seed=trainer.lightning_module.seed,  # type: ignore[arg-type]
            start=trainer.global_step * trainer.accumulate_grad_batches * images,
        )
        loader.worker_init_fn = _ignore_sigterm
        return loader

    def val_dataloader(self) -> DataLoader | list:
        """The share of this rank in the test images, in order."""
        assert self.trainer is not None
        if self.test_dataset is None:
            return []
        rank, world_size = self.trainer.global_rank, self.trainer.world_size
        loader = build_test_loader(self.test_dataset, self.cfg, rank=rank, world_size=world_size)
        loader.worker_init_fn = _ignore_sigterm
        return loader

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Images and targets to the device; polygons stay, their masks are drawn on the CPU."""
        images, targets = batch
        moved = [{name: _to(value, device) for name, value in target.items()} for target in targets]
        return [_to(image, device) for image in images], moved

    def _read(
        self, files: DatasetFiles, split: str, transform: Any, masks: str | None, filter_empty: bool
    ) -> CocoDataset:
        dataset = CocoDataset(
            files,
            transform,
            image_format=self.cfg.INPUT.FORMAT,
            mask_format=masks,
            filter_empty=filter_empty,
        )
        expected = self.cfg.MODEL.ROI_HEADS.NUM_CLASSES
        if len(dataset.category_ids) != expected:
            raise ValueError(
                f"{files.json_file} has {len(dataset.category_ids)} categories, but MODEL.ROI_HEADS.NUM_CLASSES is"
                f" {expected}; set it to {len(dataset.category_ids)}"
            )
        logger.info("dataset %s: %d images, %d categories", files.name, len(dataset), expected)
        return dataset


def check_classes(holder: str, class_names: Sequence[str] | None, dataset: CocoDataset) -> None:
    """Compare class names, in the order of their labels, with a dataset's.

    Args:
        holder: whose names they are, for the message.
        class_names: None where they are not known: then there is nothing to compare.
        dataset: whose names are expected.

    Raises:
        ValueError: names differ or are in another order; the message lists the first of them.
    """
    pairs = enumerate(zip_longest(class_names or dataset.class_names, dataset.class_names), start=1)
    differences = [f"label {label}: {theirs!r} and {ours!r}" for label, (theirs, ours) in pairs if theirs != ours]
    if differences:
        raise ValueError(
            f"{holder} and {dataset.files.json_file} have different classes, by ascending category id:"
            f" {'; '.join(differences[:5])}{'; ...' if len(differences) > 5 else ''}. Name the dataset that belongs to"
            " it, or give the categories of the JSON the same ids and names"
        )


def _only_dataset(cfg: CfgNode, split: str) -> DatasetFiles | None:
    names = cfg.DATASETS[split]
    if len(names) > 1:
        raise ValueError(
            f"DATASETS.{split} names {len(names)} datasets, {list(names)}; this backend takes one: merge their JSON"
            " files and give --dataset-json"
        )
    return resolve_dataset(names[0]) if names else None


def _to(value: Any, device: torch.device) -> Any:
    if isinstance(value, dict):
        return {name: _to(one, device) for name, one in value.items()}
    return value.to(device, non_blocking=True) if isinstance(value, Tensor) else value


def _ignore_sigterm(worker: int) -> None:
    """A SIGTERM to the process group is for the main process, which saves a checkpoint and then ends its workers."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
