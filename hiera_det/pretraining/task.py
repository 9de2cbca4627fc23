"""Masked-autoencoder pretraining as a task of the engine."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import lightning as L
import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn

from hiera_det.data.reading import reading_of
from hiera_det.engine.failed import FailedItems, write_failed
from hiera_det.engine.output import is_rank_zero
from hiera_det.engine.task import Task
from hiera_det.inputs.find import find_items
from hiera_det.inputs.items import Item
from hiera_det.pretraining.card import CardWriter
from hiera_det.pretraining.config import defaults, with_iterations
from hiera_det.pretraining.data import PretrainingDataset
from hiera_det.pretraining.model import build_model, input_size, mask_units
from hiera_det.pretraining.reconstructions import Reconstructions, TrainingReconstructions
from hiera_det.utils.files import write_csv, write_json
from hiera_det.weights.description import Description

__all__ = ["PretrainingMetrics", "PretrainingTask"]

logger = logging.getLogger(__name__)

TEST_BATCH = 8  # images or clips


@dataclass(frozen=True)
class PretrainingMetrics:
    """The mean loss over the items that could be read, and a message by index of each that could not."""

    loss: float
    items: int
    broken: dict[int, str]


class PretrainingTask(Task):
    """Training a masked autoencoder, and its loss on held-out images or clips.

    Args:
        cfg: of :func:`~hiera_det.pretraining.config.defaults`. Where it gives epochs, the training items are looked up
            at once, and `cfg` becomes one that gives iterations.

    Raises:
        ValueError, OSError: bad keys, or inputs that are not there or hold nothing of the kind.
    """

    name = "pretraining"
    test_batch_size = TEST_BATCH

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__(cfg)
        reading_of(cfg)
        mask_units(cfg)
        if len(input_size(cfg)) == 2 and cfg.DATASETS.EVERY != defaults().DATASETS.EVERY:
            raise ValueError(
                f"DATASETS.EVERY is {cfg.DATASETS.EVERY}, but {cfg.MODEL.HIERA.NAME} takes images, no clips"
            )
        self._mean, self._std = (
            torch.tensor(values).view(-1, *(1 for _ in input_size(cfg)))
            for values in (cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD)
        )
        self._reconstructions = Reconstructions(cfg)
        self.broken: dict[str, str] = {}
        if cfg.SOLVER.MAX_ITER == 0 and cfg.DATASETS.TRAIN:
            items = self.train_dataset.items
            self.cfg = with_iterations(cfg, len(items))
            logger.info(
                "%d items: %g epochs are %d iterations of %d files with %d crops each",
                *(len(items), cfg.SOLVER.MAX_EPOCHS, self.cfg.SOLVER.MAX_ITER, cfg.SOLVER.IMS_PER_BATCH),
                cfg.INPUT.REPEATS,
            )

    # --- data

    @cached_property
    def train_dataset(self) -> PretrainingDataset:
        """Images or clips to train on."""
        if not self.cfg.DATASETS.TRAIN:
            raise ValueError("DATASETS.TRAIN is empty: nothing to train on; give --input")
        return PretrainingDataset(self._items("TRAIN"), self.cfg)

    @cached_property
    def test_dataset(self) -> PretrainingDataset | None:
        """Images or clips that are held out; None if ``DATASETS.TEST`` is empty."""
        return PretrainingDataset(self._items("TEST"), self.cfg) if self.cfg.DATASETS.TEST else None

    def _items(self, split: str) -> list[Item]:
        node, video = self.cfg.DATASETS, len(input_size(self.cfg)) == 3
        return find_items(
            list(node[split]),
            video=video,
            every=node.EVERY if video else None,
            image_root=Path(node.IMAGE_ROOT) if node.IMAGE_ROOT else None,
        )

    def data_sums(self, *, training: bool) -> dict[str, tuple[str, str]]:
        """Of the ids of the items, in their order."""
        datasets = {"TRAIN": self.train_dataset if training else None, "TEST": self.test_dataset}
        return {
            split: (_sum_of([item.id for item in its.items]), ", ".join(self.cfg.DATASETS[split]))
            for split, its in datasets.items()
            if its is not None
        }

    @staticmethod
    def collate(items: list[dict[str, Any]]) -> dict[str, Any]:
        """Crops of one size to a batch.

        Returns:
            ``index`` of each readable item, ``crops`` (B, C, (T,) H, W) uint8 and ``masks`` (B, #mask units), where
            there is one, and ``broken``: message by index.
        """
        broken = {index: message for item in items for index, message in item["broken"].items()}
        items = [item for item in items if "crops" in item]
        batch: dict[str, Any] = {"index": [item["index"] for item in items], "broken": broken}
        if items:
            batch["crops"] = torch.cat([item["crops"] for item in items])
            batch["masks"] = torch.cat([item["masks"] for item in items])
        return batch

    def names_of(self, batch: dict[str, Any]) -> list[str]:
        """Ids of the items."""
        return [self.train_dataset.items[index].id for index in batch["index"]]

    # --- model

    def build_model(self) -> nn.Module:
        """The autoencoder of the config."""
        return build_model(self.cfg)

    def normalized(self, crops: Tensor) -> Tensor:
        """What the model is given, of crops (B, C, (T,) H, W) uint8."""
        self._mean, self._std = self._mean.to(crops.device), self._std.to(crops.device)
        return (crops.float() - self._mean) / self._std

    def losses(self, model: nn.Module, batch: dict[str, Any]) -> dict[str, Tensor]:
        """The mean squared error over what was dropped."""
        self.broken |= {self.train_dataset.items[index].id: message for index, message in batch["broken"].items()}
        loss, *_ = model(self.normalized(batch["crops"]), self.cfg.MODEL.MAE.MASK_RATIO, batch["masks"])
        return {"loss_mae": loss}

    def predict(self, model: nn.Module, batch: dict[str, Any]) -> list[float]:
        """The loss of each readable item."""
        if "crops" not in batch:
            return []
        x = self.normalized(batch["crops"])
        _, pred, label, mask = model(x, self.cfg.MODEL.MAE.MASK_RATIO, batch["masks"])
        if is_rank_zero():  # which draws them
            self._reconstructions.keep(model, x, pred, mask, [self._test_id(index) for index in batch["index"]])
        return (pred - label).square().unflatten(0, (len(x), -1)).mean(dim=(1, 2)).tolist()

    def callbacks(self) -> Sequence[L.Callback]:
        """Reconstructions every ``VIS_PERIOD`` iterations, the list of what could not be read, and the card."""
        items = len(self.train_dataset)
        card = CardWriter(self, items, "clips" if len(input_size(self.cfg)) == 3 else "images")
        failed = FailedItems(Path(self.cfg.OUTPUT_DIR) / "failed.csv", self.broken, items)
        return (*([TrainingReconstructions(self)] if self.cfg.VIS_PERIOD > 0 else []), failed, card)

    # --- evaluation

    def _test_id(self, index: int) -> str:
        assert self.test_dataset is not None
        return self.test_dataset.items[index].id

    def test_ids(self) -> Sequence[int]:
        """Indices of the held-out items."""
        return range(len(self.test_dataset)) if self.test_dataset is not None else ()

    def start_evaluation(self) -> None:
        """No images are kept yet."""
        super().start_evaluation()
        self._reconstructions.clear()

    def results_of(self, batch: dict[str, Any], predictions: list[float]) -> list[tuple[int, Any]]:
        """Of each item its loss, or a message why it cannot be read."""
        return [*zip(batch["index"], predictions, strict=True), *batch["broken"].items()]

    def judge(self, results: Mapping[int, Any], folder: Path) -> PretrainingMetrics:
        """The mean loss; also writes each item's.

        Raises:
            ValueError: no item can be read.
        """
        broken = {index: value for index, value in sorted(results.items()) if isinstance(value, str)}
        losses = {index: value for index, value in sorted(results.items()) if index not in broken}
        named = {self._test_id(index): why for index, why in broken.items()}
        write_failed(folder / "failed.csv", "item", named, len(results))
        if not losses:
            raise ValueError(f"none of the {len(results)} held-out items can be read: {next(iter(broken.values()))}")
        metrics = PretrainingMetrics(sum(losses.values()) / len(losses), len(losses), broken)
        rows = [(self._test_id(index), f"{loss:.6f}") for index, loss in losses.items()]
        write_csv(folder / "results.csv", ("id", "loss"), rows)
        numbers = {"loss": metrics.loss, "items": metrics.items, "failed": len(broken)}
        write_json(folder / "metrics.json", numbers, indent=1)
        return metrics

    def draw(self, folder: Path) -> None:
        """A few reconstructions."""
        self._reconstructions.write(folder / "pictures")

    def scalars(self, metrics: PretrainingMetrics) -> dict[str, float]:
        """``test/loss``."""
        return {"test/loss": metrics.loss}

    def table(self, metrics: PretrainingMetrics) -> str:
        """The loss."""
        failed = f", {len(metrics.broken)} could not be read" if metrics.broken else ""
        return f"loss {metrics.loss:.4f} on {metrics.items} held-out items{failed}"

    # --- checkpoints

    def classes(self) -> tuple[None, None]:
        """None: there are no labels."""
        return None, None

    def check_classes(self, description: Description, source: str, *, training: bool) -> None:
        """There are none."""


def _sum_of(ids: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(ids).encode(errors="surrogateescape")).hexdigest()
