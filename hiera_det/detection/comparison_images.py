"""Images of truth beside detections: of test images in an evaluation, of training images on the way."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import lightning as L
import numpy as np
import torch
from torch import Tensor

from hiera_det.coco.records import Annotations, ImageRecord
from hiera_det.coco.results import DecodedMasks
from hiera_det.data.pixels import as_rgb
from hiera_det.data.reading import in_format
from hiera_det.engine.loggers import log_image
from hiera_det.utils.visualize import draw_instances, side_by_side, write_image

__all__ = ["ComparisonImages", "TrainingImages"]

logger = logging.getLogger(__name__)

NUM_IMAGES = 8
MIN_SIDE = 384  # pixels; smaller images are enlarged
MOST_DRAWN = 20


class ComparisonImages:
    """The first images of an evaluation, drawn with their truth and their detections.

    Args:
        image_format: of the images that come, as ``INPUT.FORMAT``.
    """

    def __init__(self, image_format: str) -> None:
        self.image_format = image_format
        self._kept: list[tuple[int, np.ndarray, list[dict[str, Any]]]] = []

    def clear(self) -> None:
        """Forget the images of an earlier evaluation."""
        self._kept = []

    def keep(self, image: Tensor, image_id: int, results: list[dict[str, Any]]) -> None:
        """Keep an image (C, H, W) with its detections as COCO results, until there are enough."""
        if len(self._kept) < NUM_IMAGES:
            self._kept.append((image_id, _as_array(image, self.image_format), results))

    def write(self, folder: Path, annotations: Annotations) -> None:
        """Write ``<image id>.png`` of each image kept, in its original size or larger.

        An image that cannot be drawn is a warning in the log.
        """
        folder.mkdir(parents=True, exist_ok=True)
        records = {record.image_id: record for record in annotations.records}
        label_of = {number: label for label, number in enumerate(annotations.category_ids, 1)}
        for image_id, resized, results in self._kept:
            record = records[image_id]
            try:
                image = cv2.resize(resized, (record.width, record.height), interpolation=cv2.INTER_AREA)
                truth = _ground_truth(record)
                found = _confident(results, label_of, record)
                panels = [
                    draw_instances(image, it, annotations.class_names, min_side=MIN_SIDE) for it in (truth, found)
                ]
                titles = ("ground truth", "detections with score >= 0.5")
                write_image(folder / f"{image_id:012d}.png", side_by_side(panels, titles))
            except (cv2.error, ValueError, MemoryError) as error:
                size = f"{record.height} x {record.width} pixels"
                logger.warning("image %d (%s) cannot be drawn: %s", image_id, size, error)


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
        panels = [draw_instances(array, it, self.class_names, min_side=MIN_SIDE) for it in (targets[0], detections)]
        image = side_by_side(panels, ("ground truth", f"best {MOST_DRAWN} detections"))
        log_image(trainer.loggers, "train/detections", image, trainer.global_step - 1)


def _as_array(image: Tensor, image_format: str) -> np.ndarray:
    """(C, H, W) to RGB (H, W, 3)."""
    return as_rgb(in_format(image, image_format).permute(1, 2, 0).cpu().numpy())


def _ground_truth(record: ImageRecord) -> dict[str, Any]:
    """Boxes, labels and masks of an image in its own pixels, crowds left out."""
    instances = [it for it in record.instances if not it.crowd]
    boxes = np.array([it.bbox for it in instances], np.float32).reshape(-1, 4)  # xywh
    boxes[:, 2:] += boxes[:, :2]
    truth: dict[str, Any] = {"boxes": boxes, "labels": np.array([it.label for it in instances], int)}
    masks = [it.segmentation for it in instances if it.segmentation is not None]
    if masks:  # all or none
        truth["masks"] = DecodedMasks(masks, record.height, record.width)
    return truth


def _confident(results: list[dict[str, Any]], label_of: Mapping[int, int], record: ImageRecord) -> dict[str, Any]:
    """The results of a score of one half and more, as :func:`draw_instances` takes them."""
    results = [result for result in results if result["score"] >= 0.5]
    boxes = np.array([result["bbox"] for result in results], np.float32).reshape(-1, 4)  # xywh
    boxes[:, 2:] += boxes[:, :2]
    found: dict[str, Any] = {
        "boxes": boxes,
        "labels": np.array([label_of[result["category_id"]] for result in results], int),
        "scores": np.array([result["score"] for result in results]),
    }
    if results and "segmentation" in results[0]:
        found["masks"] = DecodedMasks([result["segmentation"] for result in results], record.height, record.width)
    return found
