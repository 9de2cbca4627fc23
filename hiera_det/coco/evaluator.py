"""COCO's box and mask AP by faster-coco-eval, with detectron2's names of the numbers."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
from faster_coco_eval import COCO
from faster_coco_eval.core.faster_eval_api import COCOeval_faster
from fvcore.common.config import CfgNode

from hiera_det.coco.polygons import encode
from hiera_det.coco.records import Annotations, Instance
from hiera_det.coco.results import to_coco_results
from hiera_det.utils.files import write_json

__all__ = ["METRICS", "CocoEvaluator", "Metrics"]

logger = logging.getLogger(__name__)

Metrics = dict[str, dict[str, float]]

METRICS = ("AR", "AR-by-class", "boundary", "LVIS")  # of TEST.METRICS
_COCO_LIMIT, _LVIS_LIMIT = 100, 300  # detections: of an image and class, of an image
_SIZES = {"s": 1, "m": 2, "l": 3}  # areas in COCOeval's arrays; 0: all


class CocoEvaluator:
    """Collects detections and compares them with annotations (pycocotools gives the same).

    Args:
        annotations: the ground truth, crowd regions included; read with masks for "segm" and "boundary".
        iou_types: of "bbox" and "segm".
        extra: of ``METRICS``: average recall, that by class, boundary AP (arXiv 2103.16562), LVIS' rules.
        max_detections: of an image; where it is above 100, ``AP@<max_detections>`` is given besides (not with LVIS).

    Attributes:
        results: what :meth:`update` was given, as COCO results: a list of dicts with ``image_id``, ``category_id``,
            ``bbox`` (x, y, width, height), ``score``, and with masks ``segmentation`` (compressed RLE).

    Raises:
        ValueError: an extra metric is unknown, or the annotations lack what it needs.
    """

    def __init__(
        self,
        annotations: Annotations,
        iou_types: Sequence[str] = ("bbox", "segm"),
        *,
        extra: Sequence[str] = (),
        max_detections: int = _COCO_LIMIT,
    ) -> None:
        if unknown := sorted(set(extra) - set(METRICS)):
            raise ValueError(f"TEST.METRICS names {', '.join(unknown)}; expected some of {', '.join(METRICS)}")
        if "boundary" in extra and "segm" not in iou_types:
            raise ValueError("TEST.METRICS names boundary, the AP of masks' boundaries, but MODEL.MASK_ON is False")
        self.lvis = "LVIS" in extra
        extras = annotations.image_extras
        if self.lvis and (annotations.rarity is None or len(extras) < len(annotations.records)):
            raise ValueError(
                f"TEST.METRICS names LVIS, but {annotations.source} lacks its fields: the categories' 'frequency',"
                f" and the images' 'neg_category_ids' and 'not_exhaustive_category_ids', which {len(extras)} of"
                f" {len(annotations.records)} have"
            )
        self.annotations = annotations
        self.iou_types = (*iou_types, "boundary") if "boundary" in extra else tuple(iou_types)
        self.extra = tuple(extra)
        self.limit = _LVIS_LIMIT if self.lvis else _COCO_LIMIT
        self.max_detections = self.limit if self.lvis else max(max_detections, self.limit)
        self.results: list[dict[str, Any]] = []
        self._label_of = {number: label for label, number in enumerate(annotations.category_ids, 1)}
        self._sizes = {record.image_id: (record.height, record.width) for record in annotations.records}

    @classmethod
    def from_config(cls, cfg: CfgNode, annotations: Annotations) -> CocoEvaluator:
        """Build from ``MODEL.MASK_ON`` and ``TEST``.

        Raises:
            ValueError: as the class says.
        """
        return cls(
            annotations,
            ("bbox", "segm") if cfg.MODEL.MASK_ON else ("bbox",),
            extra=cfg.TEST.METRICS,
            max_detections=cfg.TEST.DETECTIONS_PER_IMAGE,
        )

    def update(self, image_id: int, detections: Mapping[str, Any]) -> None:
        """Add the detections of one image, see :meth:`results_of`."""
        self.results += self.results_of(image_id, detections)

    def results_of(self, image_id: int, detections: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Check the detections of one image and give them as COCO results.

        Args:
            image_id: as in the JSON.
            detections: ``boxes`` (N, 4) xyxy in pixels of the original image, ``scores`` (N,), ``labels`` (N,) from 1,
                and for "segm" ``masks``, N of (H, W) of the original image's size.

        Raises:
            ValueError: the image is not in the JSON, a label is out of range, or masks are missing or of a wrong size.
        """
        ids, source = self.annotations.category_ids, self.annotations.source
        if image_id not in self._sizes:
            raise ValueError(f"image {image_id} is not in {source}")
        labels = detections["labels"].tolist()
        if any(not 1 <= label <= len(ids) for label in labels):
            raise ValueError(f"labels {sorted(set(labels))} of image {image_id}, expected 1..{len(ids)}")
        if "segm" in self.iou_types:
            self._check_masks(image_id, detections)
        else:
            detections = {name: value for name, value in detections.items() if name != "masks"}
        return to_coco_results(image_id, detections, [ids[label - 1] for label in labels])

    def _check_masks(self, image_id: int, detections: Mapping[str, Any]) -> None:
        if "masks" not in detections:
            raise ValueError(f"the detections of image {image_id} have no masks, but mask AP ('segm') is asked for")
        expected = (len(detections["labels"]), *self._sizes[image_id])
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
            For each IoU type ``AP``, ``AP50``, ``AP75``, ``APs``, ``APm``, ``APl``, all at 100 detections of an image
            and class (LVIS: 300 of an image), and ``AP-<class name>``, in percent; a name that several classes have
            gets the id, ``AP-boat (id 5)``. What the extra metrics add: ``AR@1`` and so on, ``AR-<class name>``,
            ``APr``, ``APc`` and ``APf``. Where there is no ground truth the number is not defined: NaN.
        """
        if not self.results:
            logger.warning("%s: there are no detections, so AP is 0", self.annotations.source)
        return {iou_type: self._evaluate(iou_type) for iou_type in self.iou_types}

    def _evaluate(self, iou_type: str) -> dict[str, float]:
        truth = self._truth(masks=iou_type != "bbox")
        evaluation = COCOeval_faster(truth, self._detected(truth, iou_type), iou_type, lvis_style=self.lvis)
        limits = sorted({1, 10, self.limit, self.max_detections})
        evaluation.params.maxDets = limits
        evaluation.evaluate()
        evaluation.accumulate()
        precision, recall = evaluation.eval["precision"], evaluation.eval["recall"]  # (IoU, R, K, A, M), (IoU, K, A, M)
        at = limits.index(self.limit)
        metrics = {
            "AP": _percent(precision[..., 0, at]),
            "AP50": _percent(precision[0, ..., 0, at]),
            "AP75": _percent(precision[5, ..., 0, at]),
            **{f"AP{size}": _percent(precision[..., area, at]) for size, area in _SIZES.items()},
        }
        if self.max_detections > self.limit:
            metrics[f"AP@{self.max_detections}"] = _percent(precision[..., 0, -1])
        if self.lvis:
            rarity = np.array(self.annotations.rarity)
            metrics |= {f"AP{it}": _percent(precision[:, :, rarity == it, 0, at]) for it in "rcf"}
        if "AR" in self.extra:
            metrics |= {f"AR@{limit}": _percent(recall[..., 0, place]) for place, limit in enumerate(limits)}
            metrics |= {f"AR{size}": _percent(recall[..., area, at]) for size, area in _SIZES.items()}
        names = self.annotations.unique_names()
        metrics |= {f"AP-{name}": _percent(precision[:, :, k, 0, at]) for k, name in enumerate(names)}
        if "AR-by-class" in self.extra:
            metrics |= {f"AR-{name}": _percent(recall[:, k, 0, at]) for k, name in enumerate(names)}
        return metrics

    def _truth(self, *, masks: bool) -> COCO:
        """The ground truth, for masks without the crowd regions that have none.

        Annotations, images and classes are numbered from 1: their own ids may have a meaning in the evaluation
        (annotation 0 is "unmatched") or be none that it takes.
        """
        annotations: list[dict[str, Any]] = []
        for number, record in enumerate(self.annotations.records, 1):
            for instance in record.instances:
                if masks and instance.segmentation is None:
                    continue
                entry = _truth_entry(instance, record.height, record.width)
                ids = {"id": len(annotations) + 1, "image_id": number, "category_id": instance.label}
                annotations.append(entry | ids)
        rarity = self.annotations.rarity or ["f"] * len(self.annotations.category_ids)
        truth = COCO()
        truth.dataset = {
            "images": [
                {"id": number, "height": record.height, "width": record.width, **self._extras(record.image_id)}
                for number, record in enumerate(self.annotations.records, 1)
            ],
            "categories": [{"id": label, "name": str(label), "frequency": of} for label, of in enumerate(rarity, 1)],
            "annotations": annotations,
        }
        truth.createIndex()
        return truth

    def _extras(self, image_id: int) -> dict[str, list[int]]:
        """LVIS' fields of an image, with labels."""
        extras = self.annotations.image_extras.get(image_id, {})
        return {name: [self._label_of[number] for number in ids] for name, ids in extras.items()}

    def _detected(self, truth: COCO, iou_type: str) -> COCO:
        """The results; a mask counts as small, medium or large by its own area."""
        results = _best_of_images(self.results, _LVIS_LIMIT) if self.lvis else self.results
        places = {record.image_id: number for number, record in enumerate(self.annotations.records, 1)}
        detected = COCO()
        detected.dataset = {name: truth.dataset[name] for name in ("images", "categories")}
        detected.dataset["annotations"] = [
            {
                **result,
                "id": number,
                "image_id": places[result["image_id"]],
                "category_id": self._label_of[result["category_id"]],
                "iscrowd": 0,
                "area": _area_of_result(result, iou_type),
            }
            for number, result in enumerate(results, 1)
        ]
        detected.createIndex()
        return detected


def _truth_entry(instance: Instance, height: int, width: int) -> dict[str, Any]:
    """An annotation as COCOeval takes it."""
    mask, area = instance.segmentation, instance.area
    entry: dict[str, Any] = {"bbox": list(instance.bbox), "iscrowd": int(instance.crowd)}
    if isinstance(mask, dict):
        entry["segmentation"] = mask
    elif mask is not None:
        entry["segmentation"] = [polygon.reshape(-1).tolist() for polygon in mask]
    if area is None and mask is not None:
        area = float(mask_util.area(mask if isinstance(mask, dict) else encode(mask, height, width)))
    elif area is None:
        area = max(instance.bbox[2], 0.0) * max(instance.bbox[3], 0.0)
    return entry | {"area": area}


def _area_of_result(result: Mapping[str, Any], iou_type: str) -> float:
    if iou_type == "bbox":
        return result["bbox"][2] * result["bbox"][3]
    return float(mask_util.area(result["segmentation"]))


def _best_of_images(results: list[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    """The results of highest score of each image, in their order."""
    ranked = sorted(range(len(results)), key=lambda place: -results[place]["score"])
    count: dict[int, int] = {}
    kept = set()
    for place in ranked:
        image_id = results[place]["image_id"]
        count[image_id] = count.get(image_id, 0) + 1
        if count[image_id] <= limit:
            kept.add(place)
    return [result for place, result in enumerate(results) if place in kept]


def _percent(values: np.ndarray) -> float:
    """The mean of what is defined; NaN where nothing is."""
    defined = values[values > -1]
    return float(defined.mean()) * 100 if defined.size else math.nan
