"""The detector as a LightningModule."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hiera_det.detection.datamodule import check_classes
from hiera_det.detection.model.detectron2_names import from_detectron2, to_detectron2
from hiera_det.engine.module import TrainingModule
from hiera_det.weights.load import check_same_model

__all__ = ["DetectionModule"]

Batch = tuple[list[Tensor], list[dict[str, Any]]]  # images (3, H, W), targets


class DetectionModule(TrainingModule):
    """A detector in training, as :func:`~hiera_det.detection.model.detector.build_model` makes it.

    Checkpoints have detectron2's names, and ``class_names`` and ``category_ids`` of the training set.
    """

    def compute_losses(self, batch: Batch) -> dict[str, Tensor]:
        """The detector's losses."""
        images, targets = batch
        return self.model(images, targets)

    def batch_ids(self, batch: Batch) -> list[int]:
        """Image ids."""
        return [int(target["image_id"]) for target in batch[1]]

    def validation_step(self, batch: Batch, batch_idx: int) -> list[dict[str, Tensor]]:  # type: ignore[override]
        """Detections in pixels of the original images, in fp32; none any more once a SIGTERM has come."""
        if self.interrupted:
            return []
        images, targets = batch
        sizes = [(int(target["height"]), int(target["width"])) for target in targets]
        with torch.autocast(self.device.type, enabled=False):
            return self.model(images, output_sizes=sizes)

    def to_file(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Under detectron2's names."""
        return to_detectron2(state)

    def from_file(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Under this backend's names.

        Raises:
            ValueError: names or shapes differ from the detector's; the message lists them under detectron2's names.
        """
        check_same_model(state, to_detectron2(self.model.state_dict()), "the checkpoint")
        return from_detectron2(state)

    def notes(self) -> dict[str, Any]:
        """The training set's classes."""
        dataset = self.trainer.datamodule.train_dataset  # type: ignore[attr-defined]
        return {"class_names": list(dataset.class_names), "category_ids": list(dataset.category_ids)}

    def check_notes(self, checkpoint: dict[str, Any]) -> None:
        """The checkpoint's classes are the training set's.

        Raises:
            ValueError: they are not.
        """
        names = checkpoint.get("class_names")
        check_classes("the checkpoint", names, self.trainer.datamodule.train_dataset)  # type: ignore[attr-defined]
