"""COCO's box and mask AP by pycocotools, with detectron2's names of the numbers."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from hiera_det.data.catalog import DatasetFiles
from hiera_det.data.segmentation import read_segmentation, report_maskless
from hiera_det.utils.files import write_json

__all__ = ["CocoEvaluator", "Metrics", "format_table", "to_coco_results"]

logger = logging.getLogger(__name__)

_SUMMARY = ("AP", "AP50", "AP75", "APs", "APm", "APl")  # the first six of COCOeval.stats, in order

Metrics = dict[str, dict[str, float]]


def to_coco_results(
    image_id: int, detections: dict[str, torch.Tensor], category_ids: Sequence[int]
) -> list[dict[str, Any]]:
    """The detections of one image as COCO results.

    Args:
        image_id: goes into each result.
        detections: ``boxes`` (N, 4) xyxy pixels, ``scores`` (N,), perhaps ``masks`` (N, H, W).
        category_ids: of each detection.

    Returns:
        For each ``image_id``, ``category_id``, ``bbox`` (x, y, width, height), ``score`` and, with masks,
        ``segmentation`` (compressed RLE).
    """
    xyxy = detections["boxes"].float().cpu()
    xywh = torch.cat([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]], dim=1).tolist()
    scores = detections["scores"].float().tolist()
    results: list[dict[str, Any]] = [
        {"image_id": image_id, "category_id": category, "bbox": box, "score": score}
        for category, box, score in zip(category_ids, xywh, scores, strict=True)
    ]
    if "masks" in detections:
        planes = detections["masks"].to(torch.uint8).cpu().numpy().transpose(1, 2, 0)  # (H, W, N)
        for result, rle in zip(results, mask_util.encode(np.asfortranarray(planes)), strict=True):
            result["segmentation"] = {"size": rle["size"], "counts": rle["counts"].decode("ascii")}
    return results


class CocoEvaluator:
    """Collects detections and compares them with a COCO JSON (``COCOEvaluator`` of detectron2 gives the same).

    Args:
        files: the dataset; its JSON is the ground truth, crowd regions included.
        category_ids: label i + 1 of the detections stands for ``category_ids[i]``.
        iou_types: of "bbox" and "segm".

    Attributes:
        results: what :meth:`update` was given, as COCO results: a list of dicts with ``image_id``,
            ``category_id``, ``bbox`` (x, y, width, height), ``score``, and with masks ``segmentation``
            (compressed RLE).
        truth: the ground truth as pycocotools holds it (``pycocotools.coco.COCO``). For "segm" instances without a
            usable mask are left out, counted in the log, as in training. A missing ``iscrowd`` is 0, a missing ``area``
            that of the mask, or without "segm" that of the box.

    Raises:
        ValueError: the JSON has no annotations or other categories, or for "segm" a mask is missing or not as COCO
            defines it.
    """

    def __init__(
        self, files: DatasetFiles, category_ids: Sequence[int], iou_types: Sequence[str] = ("bbox", "segm")
    ) -> None:
        self.files = files
        self.category_ids = list(category_ids)
        self.iou_types = tuple(iou_types)
        self.results: list[dict[str, Any]] = []
        self.truth = _load_truth(files.json_file, with_masks="segm" in iou_types)
        if sorted(self.truth.getCatIds()) != self.category_ids:
            raise ValueError(
                f"{files.json_file}: its category ids are {sorted(self.truth.getCatIds())}, but the detections' "
                f"are {self.category_ids}"
            )

    def update(self, image_id: int, detections: dict[str, torch.Tensor]) -> None:
        """Add the detections of one image, see :meth:`results_of`."""
        self.results += self.results_of(image_id, detections)

    def results_of(self, image_id: int, detections: dict[str, torch.Tensor]) -> list[dict[str, Any]]:
        """Check the detections of one image and give them as COCO results.

        Args:
            image_id: as in the JSON.
            detections: ``boxes`` (N, 4) xyxy in pixels of the original image, ``scores`` (N,), ``labels``
                (N,) from 1, and for "segm" ``masks`` (N, H, W) of the original image's size.

        Raises:
            ValueError: the image is not in the JSON, a label is out of range, or masks are missing or of a
            wrong size.
        """
        if image_id not in self.truth.imgs:
            raise ValueError(f"image {image_id} is not in {self.files.json_file}")
        labels = detections["labels"].tolist()
        if any(not 1 <= label <= len(self.category_ids) for label in labels):
            raise ValueError(f"labels {sorted(set(labels))} of image {image_id}, expected 1..{len(self.category_ids)}")
        if "segm" in self.iou_types:
            self._check_masks(image_id, detections)
        else:
            detections = {name: value for name, value in detections.items() if name != "masks"}
        return to_coco_results(image_id, detections, [self.category_ids[label - 1] for label in labels])

    def _check_masks(self, image_id: int, detections: dict[str, torch.Tensor]) -> None:
        if "masks" not in detections:
            raise ValueError(f"the detections of image {image_id} have no masks, but mask AP ('segm') is asked for")
        image = self.truth.imgs[image_id]
        expected = (len(detections["labels"]), image["height"], image["width"])
        if tuple(detections["masks"].shape) != expected:
            raise ValueError(
                f"masks of image {image_id} are {tuple(detections['masks'].shape)}, expected {expected}: "
                "detections are in pixels of the original image"
            )

    def write(self, path: str | Path) -> None:
        """Write the results as COCO results JSON."""
        write_json(path, self.results)

    def evaluate(self) -> Metrics:
        """Compute AP over all images of the JSON.

        Returns:
            For each IoU type ``AP``, ``AP50``, ``AP75``, ``APs``, ``APm``, ``APl`` and ``AP-<class name>``,
            in percent. Where there is no ground truth the number is not defined: NaN.
        """
        if not self.results:
            logger.warning("%s: there are no detections, so AP is 0", self.files.name)
        return {iou_type: self._evaluate(iou_type) for iou_type in self.iou_types}

    def _evaluate(self, iou_type: str) -> dict[str, float]:
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = COCOeval(self.truth, self._detected(iou_type), iou_type)
            evaluation.params.maxDets = [1, 10, 100]
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        metrics = {name: _percent(value) for name, value in zip(_SUMMARY, evaluation.stats, strict=False)}
        precision = evaluation.eval["precision"][:, :, :, 0, -1]  # (IoU, recall, K): all areas, 100 detections
        for index, category in enumerate(self.truth.loadCats(self.category_ids)):
            defined = precision[:, :, index][precision[:, :, index] > -1]
            metrics[f"AP-{category['name']}"] = _percent(defined.mean() if defined.size else -1.0)
        return metrics

    def _detected(self, iou_type: str) -> COCO:
        # With a box in it, a mask result would be sorted into small, medium, large by the box's area.
        drop = {"segm": "bbox", "bbox": "segmentation"}[iou_type]
        results = [{key: value for key, value in result.items() if key != drop} for result in self.results]
        if results:
            return self.truth.loadRes(results)
        detected = COCO()
        detected.dataset = {**self.truth.dataset, "annotations": []}
        detected.createIndex()
        return detected


def _percent(value: float) -> float:
    return float(value) * 100 if value >= 0 else float("nan")


def _load_truth(json_file: Path, *, with_masks: bool) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(json_file))
        if not isinstance(truth.dataset.get("annotations"), list):
            raise ValueError(
                f"{json_file}: there is no 'annotations' list; a test set without annotations cannot be evaluated, "
                "write its results and send them to the dataset's server"
            )
        if with_masks:
            _check_masks(truth, json_file)
            truth.createIndex()
    for annotation in truth.anns.values():
        annotation.setdefault("iscrowd", 0)
        if "area" not in annotation and with_masks:
            annotation["area"] = float(mask_util.area(truth.annToRLE(annotation)))
        elif "area" not in annotation:
            annotation["area"] = annotation["bbox"][2] * annotation["bbox"][3]
    return truth


def _check_masks(truth: COCO, json_file: Path) -> None:
    """Check the masks by the rules of training, and take what these leave out from ``truth.dataset``."""
    kept = []
    for annotation in truth.dataset["annotations"]:
        image = truth.imgs[annotation["image_id"]]
        where = f"{json_file}: annotation {annotation['id']}"
        mask = read_segmentation(annotation, (image["height"], image["width"]), where)
        if mask:
            flat = mask if isinstance(mask, dict) else [polygon.reshape(-1).tolist() for polygon in mask]
            kept.append({**annotation, "segmentation": flat})
    report_maskless(json_file, len(truth.dataset["annotations"]) - len(kept), len(kept))
    truth.dataset["annotations"] = kept


def format_table(metrics: Metrics) -> str:
    """A readable table: a line for each IoU type, then AP by category."""
    lines = ["".join([f"{'':6}", *(f"{name:>8}" for name in _SUMMARY)])]
    for iou_type, values in metrics.items():
        lines.append("".join([f"{iou_type:6}", *(f"{values[name]:8.2f}" for name in _SUMMARY)]))
    classes = [name for name in next(iter(metrics.values()), {}) if name.startswith("AP-")]
    width = max((len(name) for name in classes), default=0)
    lines += ["", "".join([f"{'AP by category':{width}}", *(f"{iou_type:>8}" for iou_type in metrics)])]
    for name in classes:
        label = name.removeprefix("AP-")
        lines.append("".join([f"{label:{width}}", *(f"{values[name]:8.2f}" for values in metrics.values())]))
    return "\n".join(lines)
