"""What the engine cannot know of a training: a task says it."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.utils.data import Dataset

from hiera_det.config import with_values
from hiera_det.data.findings import Findings
from hiera_det.weights.description import Description

__all__ = ["Task"]

logger = logging.getLogger(__name__)


class Task(ABC):
    """One run's data, model, losses, evaluation, and what its checkpoints say of it.

    Everything else (seeds, exact resume, signals, precision, DDP, loggers, atomic files, progress) is the engine's:
    :func:`~hiera_det.engine.run.train` and :func:`~hiera_det.engine.run.evaluate`.

    Args:
        cfg: the config, with the nodes ``SOLVER``, ``DATALOADER``, ``TEST`` and ``MODEL.HIERA``.

    Attributes:
        name: of the task, as checkpoints and configs have it.
        test_batch_size: items of a batch in evaluation.
    """

    name: str
    test_batch_size = 1

    def __init__(self, cfg: CfgNode) -> None:
        self.cfg = cfg

    def set_keys(self, values: Mapping[str, Any]) -> None:
        """Change values of the config, which is what checkpoints hold.

        Args:
            values: by key, such as "SEED".
        """
        self.cfg = with_values(self.cfg, values)

    # --- data: read when it is first asked for; what is wrong with it is a ValueError or an OSError

    @property
    @abstractmethod
    def train_dataset(self) -> Dataset:
        """The training set: ``dataset[index, draw]`` is an item; the number ``draw`` seeds its augmentation."""

    @property
    @abstractmethod
    def test_dataset(self) -> Dataset | None:
        """The test set: ``dataset[index]`` is an item. None if there is nothing to evaluate on."""

    def examine(self, findings: Findings, *, training: bool) -> None:  # noqa: B027
        """Look for what is wrong with the data before a run, beyond what reading them says: all of it is found.

        Args:
            findings: gets what is found.
            training: the training set too; otherwise the test set alone.
        """

    @abstractmethod
    def data_sums(self, *, training: bool) -> dict[str, tuple[str, str]]:
        """Tell the content of the data, by which a resumed run knows them: by name their SHA-256 in hex and place.

        Args:
            training: the training set too; otherwise the test set alone.
        """

    @staticmethod
    @abstractmethod
    def collate(items: list[Any]) -> Any:
        """Make a batch of items: tensors in dicts and lists."""

    def to_device(self, batch: Any, device: torch.device) -> Any:
        """Bring the tensors of a batch, in nested dicts, lists and tuples, to a device."""
        if isinstance(batch, dict):
            return {name: self.to_device(value, device) for name, value in batch.items()}
        if isinstance(batch, list | tuple):
            return type(batch)(self.to_device(value, device) for value in batch)
        return batch.to(device, non_blocking=True) if isinstance(batch, Tensor) else batch

    @abstractmethod
    def names_of(self, batch: Any) -> list[Any]:
        """Name the items of a training batch, for messages."""

    # --- model

    @abstractmethod
    def build_model(self) -> nn.Module:
        """Build the model with fresh weights."""

    @abstractmethod
    def losses(self, model: nn.Module, batch: Any) -> dict[str, Tensor]:
        """Compute the losses of a training batch by name; their sum is minimised."""

    @abstractmethod
    def predict(self, model: nn.Module, batch: Any) -> list[Any]:
        """Compute what the model finds in a test batch, in float32, on its device."""

    def callbacks(self) -> Sequence[L.Callback]:
        """Give further callbacks of a training."""
        return ()

    # --- evaluation

    @abstractmethod
    def test_ids(self) -> Sequence[Any]:
        """Give the ids of the test set's items: each has to be evaluated once."""

    def start_evaluation(self) -> None:
        """Begin an evaluation on each rank."""
        logger.info("evaluating on %d items", len(self.test_ids()))

    @abstractmethod
    def results_of(self, batch: Any, predictions: list[Any]) -> list[tuple[Any, Any]]:
        """Give each test item's id and what :meth:`judge` needs of it, on the CPU and picklable."""

    @abstractmethod
    def judge(self, results: Mapping[Any, Any], folder: Path) -> Any:
        """Compute the metrics of all results by id and write them to a folder; called on rank 0 alone."""

    def draw(self, folder: Path) -> None:
        """Draw what people would look at, once the metrics are written; called on rank 0 alone."""
        return None

    @abstractmethod
    def scalars(self, metrics: Any) -> dict[str, float]:
        """Give the metrics by name, for metrics.json and loggers; one name at least has a slash, as "bbox/AP"."""

    @abstractmethod
    def table(self, metrics: Any) -> str:
        """Give the metrics as text, for the log."""

    def exit_code(self, metrics: Any) -> int:
        """Say what the process should exit with after an evaluation; 0: it went well."""
        return 0

    # --- checkpoints

    @abstractmethod
    def classes(self) -> tuple[list[str] | None, list[int] | None]:
        """Give the names and ids of the training set's classes, in the order of the model's outputs; None: none."""

    @abstractmethod
    def check_classes(self, description: Description, source: str, *, training: bool) -> None:
        """Compare the classes that a checkpoint tells with the training set's, or in an evaluation the test set's.

        Raises:
            ValueError: they differ.
        """
