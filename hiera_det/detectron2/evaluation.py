"""COCO's AP on detectron2's side: this project's evaluator behind detectron2's interface."""

from __future__ import annotations

import logging
from collections import OrderedDict
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

from hiera_det.coco.evaluator import CocoEvaluator, Metrics
from hiera_det.coco.records import Annotations
from hiera_det.coco.tables import metrics_table

__all__ = ["Evaluator"]

logger = logging.getLogger(__name__)


class Evaluator(DatasetEvaluator):
    """Gathers detectron2's detections and gives what ``COCOEvaluator`` of detectron2 gives.

    Args:
        cfg: ``MODEL.MASK_ON`` and ``TEST`` are read.
        annotations: of the dataset.
        folder: gets ``coco_instances_results.json``.
    """

    def __init__(self, cfg: CfgNode, annotations: Annotations, folder: Path) -> None:
        self.evaluator = CocoEvaluator.from_config(cfg, annotations)
        self.folder = folder

    def reset(self) -> None:
        """Begin anew."""
        self.evaluator.results = []

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Add the detections of a batch."""
        for given, output in zip(inputs, outputs, strict=True):
            instances = output["instances"].to("cpu")
            found = {
                "boxes": instances.pred_boxes.tensor,
                "scores": instances.scores,
                "labels": instances.pred_classes + 1,
            }
            if instances.has("pred_masks"):
                found["masks"] = instances.pred_masks
            self.evaluator.update(given["image_id"], found)

    def evaluate(self) -> Metrics | None:
        """AP by IoU type, on the main process; the others have nothing."""
        shares = comm.gather(self.evaluator.results)
        if not comm.is_main_process():
            return None
        self.evaluator.results = [result for share in shares for result in share]
        self.evaluator.write(self.folder / "coco_instances_results.json")
        metrics = OrderedDict(self.evaluator.evaluate())
        logger.info("%s\n%s", self.evaluator.annotations.source, metrics_table(metrics))
        return metrics
