"""Images of truth beside detections: of test images in an evaluation, of training images on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import lightning as L
import numpy as np
import torch
from pycocotools.coco import COCO
from torch import Tensor

from hiera_det.data.pixels import as_rgb
from hiera_det.data.reading import in_format
from hiera_det.engine.loggers import log_image
from hiera_det.utils.visualize import draw_instances, side_by_side, write_image

__all__ = ["ComparisonImages", "TrainingImages"]

NUM_IMAGES = 8
MOST_DRAWN = 20


class ComparisonImages:
    """The first images of an evaluation, drawn with their truth and their detections.

    Args:
        image_format: of the images that come, as ``INPUT.FORMAT``.
    """

    def __init__(self, image_format: str) -> None:
        self.image_format = image_format
        self._kept: list[tuple[Mapping[str, Any], dict[str, Tensor], np.ndarray]] = []

    def clear(self) -> None:
        """Forget the images of an earlier evaluation."""
        self._kept = []

    def keep(self, image: Tensor, target: Mapping[str, Any], detections: Mapping[str, Tensor]) -> None:
        """Keep an image (C, H, W) with its detections, until there are enough."""
        if len(self._kept) < NUM_IMAGES:
            on_cpu = {name: value.cpu() for name, value in detections.items()}
            self._kept.append((target, on_cpu, _as_array(image, self.image_format)))

    def write(self, folder: Path, truth: COCO, category_ids: Sequence[int], class_names: Sequence[str]) -> None:
        """Write ``<image id>.png`` of each image kept, in its original size or larger."""
        folder.mkdir(parents=True, exist_ok=True)
        for target, detections, resized in self._kept:
            image = cv2.resize(resized, (int(target["width"]), int(target["height"])), interpolation=cv2.INTER_AREA)
            image_id = int(target["image_id"])
            confident = {name: value[detections["scores"] >= 0.5] for name, value in detections.items()}
            instances = (_ground_truth(truth, image_id, category_ids), confident)
            panels = [draw_instances(image, it, class_names, min_side=384) for it in instances]
            titles = ("ground truth", "detections with score >= 0.5")
            write_image(folder / f"{image_id:012d}.png", side_by_side(panels[0], panels[1], titles))


class TrainingImages(L.Callback):
    """Sends the loggers the batch's first image every ``period`` iterations, its targets beside what is detected."""

    def __init__(self, period: int, image_format: str, class_names: Sequence[str]) -> None:
        self.period = period
        self.image_format = image_format
        self.class_names = class_names

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Draw if it is time."""
        if not trainer.is_global_zero or trainer.global_step % self.period:
            return
        images, targets = batch[-1]
        model = pl_module.model.eval()
        with torch.no_grad(), trainer.precision_plugin.forward_context():
            detections = {name: value[:MOST_DRAWN] for name, value in model(images[:1])[0].items()}  # best first
        model.train()
        array = _as_array(images[0], self.image_format)
        panels = [draw_instances(array, it, self.class_names, min_side=384) for it in (targets[0], detections)]
        image = side_by_side(panels[0], panels[1], ("ground truth", f"best {MOST_DRAWN} detections"))
        log_image(trainer.loggers, "train/detections", image, trainer.global_step - 1)


def _as_array(image: Tensor, image_format: str) -> np.ndarray:
    """(C, H, W) to RGB (H, W, 3)."""
    return as_rgb(in_format(image, image_format).permute(1, 2, 0).cpu().numpy())


def _ground_truth(coco: COCO, image_id: int, category_ids: Sequence[int]) -> dict[str, np.ndarray]:
    """Boxes, labels and masks of an image in its own pixels, crowds left out."""
    annotations = coco.loadAnns(coco.getAnnIds(imgIds=[image_id], iscrowd=False))
    boxes = np.array([a["bbox"] for a in annotations], np.float32).reshape(-1, 4)  # xywh
    boxes[:, 2:] += boxes[:, :2]
    label_of = {category: label for label, category in enumerate(category_ids, 1)}
    truth = {"boxes": boxes, "labels": np.array([label_of[a["category_id"]] for a in annotations], int)}
    if annotations and all(a.get("segmentation") for a in annotations):
        truth["masks"] = np.stack([coco.annToMask(a) for a in annotations])
    return truth
