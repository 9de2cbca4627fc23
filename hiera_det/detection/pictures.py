"""Pictures of what a detector in training detects."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch

from hiera_det.engine.metrics import Records
from hiera_det.utils.visualize import draw_instances, side_by_side

__all__ = ["Pictures"]

MOST_DRAWN = 20


class Pictures(L.Callback):
    """Every ``period`` iterations, the batch's first image in TensorBoard: its targets beside what is detected."""

    def __init__(self, records: Records, period: int, image_format: str, class_names: list[str]) -> None:
        self.records = records
        self.period = period
        self.image_format = image_format
        self.class_names = class_names

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Draw if it is time."""
        complete = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if not trainer.is_global_zero or not complete or trainer.global_step % self.period:
            return
        image, target = batch[0][0], batch[1][0]
        model = pl_module.model.eval()
        with torch.no_grad(), trainer.precision_plugin.forward_context():
            detections = {name: value[:MOST_DRAWN] for name, value in model([image])[0].items()}  # best first
        model.train()
        rgb = image.flip(0) if self.image_format == "BGR" else image
        array = rgb.permute(1, 2, 0).cpu().numpy()  # (H, W, 3)
        titles = ("ground truth", f"best {MOST_DRAWN} detections")
        panels = [draw_instances(array, it, self.class_names, min_side=384) for it in (target, detections)]
        self.records.picture("train/detections", side_by_side(panels[0], panels[1], titles), trainer.global_step - 1)
