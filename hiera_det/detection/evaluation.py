"""Evaluation over all ranks: results gathered, AP computed, table, files and pictures written."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import lightning as L
import numpy as np
import torch
from fvcore.common.config import CfgNode
from pycocotools.coco import COCO

from hiera_det.detection.coco_evaluator import CocoEvaluator, format_table
from hiera_det.detection.data.coco import CocoDataset
from hiera_det.engine.gather import gather
from hiera_det.engine.metrics import Records
from hiera_det.engine.results import write_results
from hiera_det.utils.visualize import draw_instances, side_by_side, write_image

__all__ = ["Evaluation"]

logger = logging.getLogger(__name__)

NUM_PICTURES = 8


class Evaluation(L.Callback):
    """COCO AP of each validation run, into ``<output>/inference`` and the records.

    Attributes:
        metrics: of the last run, as :meth:`CocoEvaluator.evaluate` gives them; None if it was interrupted.
        iteration: after which the last run took place.
    """

    def __init__(self, cfg: CfgNode, records: Records) -> None:
        self.folder = Path(cfg.OUTPUT_DIR) / "inference"
        self.image_format = cfg.INPUT.FORMAT
        self.records = records
        self.metrics: dict[str, dict[str, float]] | None = None
        self.iteration = -1
        self._pictures: list[tuple[Any, dict, np.ndarray]] = []

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """An empty evaluator on each rank."""
        self._dataset: CocoDataset = trainer.datamodule.test_dataset  # type: ignore[attr-defined]
        self._evaluator: CocoEvaluator = trainer.datamodule.test_evaluator  # type: ignore[attr-defined]
        self._evaluator.results.clear()
        self._seen: list[int] = []
        self._pictures = []
        logger.info("evaluating on %s: %d images", self._dataset.files.name, len(self._dataset))

    def on_validation_batch_end(
        self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Keep the detections of a batch."""
        images, targets = batch
        for image, target, detections in zip(images, targets, outputs, strict=False):
            self._seen.append(int(target["image_id"]))
            self._evaluator.update(self._seen[-1], detections)
            if trainer.is_global_zero and len(self._pictures) < NUM_PICTURES:
                self._keep_picture(image, target, detections)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Gather the ranks' results and evaluate them on rank 0.

        Raises:
            RuntimeError: an image was lost or came twice.
        """
        self.iteration = trainer.global_step - 1
        self.metrics = None
        shares = gather((self._seen, self._evaluator.results, pl_module.interrupted), trainer.world_size)
        if any(interrupted for _, _, interrupted in shares):
            logger.warning("evaluation abandoned: a SIGTERM came")
        elif trainer.is_global_zero:
            _check_complete(Counter(i for seen, _, _ in shares for i in seen), Counter(self._dataset.image_ids))
            self._evaluator.results[:] = [result for _, results, _ in shares for result in results]
            self.metrics = self._evaluator.evaluate()
            self._report(self.metrics)
        self.metrics = trainer.strategy.broadcast(self.metrics)

    def _report(self, metrics: dict[str, dict[str, float]]) -> None:
        after = f" after {self.iteration + 1} iterations" if self.iteration >= 0 else ""
        logger.info("%s%s:\n%s", self._dataset.files.name, after, format_table(metrics))
        self._evaluator.write(self.folder / "coco_instances_results.json")
        write_results(self.folder / "metrics.json", {"dataset": self._dataset.files.name, **metrics})
        flat = {f"{kind}/{name}": v for kind, values in metrics.items() for name, v in values.items()}
        self.records.amend({name: v for name, v in flat.items() if v == v})  # NaN: there is no ground truth
        self._write_pictures()

    def _keep_picture(self, image: torch.Tensor, target: dict, detections: dict) -> None:
        rgb = image.flip(0) if self.image_format == "BGR" else image
        kept = {name: value.cpu() for name, value in detections.items()}
        self._pictures.append((target, kept, rgb.permute(1, 2, 0).cpu().numpy()))  # (H, W, 3)

    def _write_pictures(self) -> None:
        folder = self.folder / "pictures"
        folder.mkdir(exist_ok=True)
        names = self._dataset.class_names
        for target, detections, resized in self._pictures:
            picture = cv2.resize(resized, (int(target["width"]), int(target["height"])), interpolation=cv2.INTER_AREA)
            image_id = int(target["image_id"])
            truth = _ground_truth(self._evaluator.truth, image_id, self._dataset.category_ids)
            confident = {name: value[detections["scores"] >= 0.5] for name, value in detections.items()}
            panels = [draw_instances(picture, it, names, min_side=384) for it in (truth, confident)]
            titles = ("ground truth", "detections with score >= 0.5")
            write_image(folder / f"{image_id:012d}.png", side_by_side(panels[0], panels[1], titles))


def _ground_truth(coco: COCO, image_id: int, category_ids: list[int]) -> dict[str, np.ndarray]:
    """Boxes, labels and masks of an image in its own pixels, crowds left out."""
    annotations = coco.loadAnns(coco.getAnnIds(imgIds=[image_id], iscrowd=False))
    boxes = np.array([a["bbox"] for a in annotations], np.float32).reshape(-1, 4)  # xywh
    boxes[:, 2:] += boxes[:, :2]
    truth = {"boxes": boxes, "labels": np.array([category_ids.index(a["category_id"]) + 1 for a in annotations], int)}
    if annotations and all(a.get("segmentation") for a in annotations):
        truth["masks"] = np.stack([coco.annToMask(a) for a in annotations])
    return truth


def _check_complete(seen: Counter, expected: Counter) -> None:
    if seen != expected:
        lost, extra = expected - seen, seen - expected
        raise RuntimeError(
            f"the evaluated images are not those of the dataset: {len(lost)} lost (such as {list(lost)[:5]}),"
            f" {len(extra)} too many (such as {list(extra)[:5]})"
        )
