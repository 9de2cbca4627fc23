"""Detections as COCO results, and masks that are pasted or decoded one by one: a large image has no room for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import torch
from torch import Tensor

from hiera_det.coco.polygons import rasterize
from hiera_det.coco.records import Segmentation

__all__ = ["DecodedMasks", "encode_mask", "to_coco_results"]


def encode_mask(mask: np.ndarray) -> dict[str, Any]:
    """A mask (H, W) of bool or uint8 as a compressed RLE, its counts as text."""
    rle = mask_util.encode(np.asfortranarray(mask.view(np.uint8) if mask.dtype == bool else mask))
    return {"size": rle["size"], "counts": rle["counts"].decode("ascii")}


def to_coco_results(image_id: int, detections: Mapping[str, Any], category_ids: Sequence[int]) -> list[dict[str, Any]]:
    """Give the detections of one image as COCO results; masks are encoded one by one.

    Args:
        image_id: goes into each result.
        detections: ``boxes`` (N, 4) xyxy pixels, ``scores`` (N,), perhaps ``masks``: N of (H, W) bool.
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
        for result, mask in zip(results, detections["masks"], strict=True):
            plane: Tensor = mask.to(torch.bool).cpu()
            result["segmentation"] = encode_mask(plane.numpy())
    return results


class DecodedMasks(Sequence):
    """Masks (H, W) uint8 of polygons and RLEs, each decoded when it is asked for, by its index."""

    def __init__(self, segmentations: Sequence[Segmentation], height: int, width: int) -> None:
        self.segmentations = segmentations
        self.height, self.width = height, width

    def __len__(self) -> int:
        return len(self.segmentations)

    def __getitem__(self, index: Any) -> Any:
        value = self.segmentations[index]
        return mask_util.decode(value) if isinstance(value, dict) else rasterize(value, self.height, self.width)
