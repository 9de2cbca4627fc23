"""What is transformed along with an image, and what a model gets of it: targets as in torchvision."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torchvision import tv_tensors

from hiera_det.coco.polygons import rasterize
from hiera_det.coco.records import MIN_BOX_SIDE, ImageRecord
from hiera_det.detection.data.bitmaps import Bitmaps
from hiera_det.detection.data.polygons import Polygons

__all__ = ["make_sample", "make_target"]


def make_sample(record: ImageRecord) -> dict[str, Any]:
    """The geometry of a record's N instances, for transforms v2.

    Returns:
        ``boxes`` (N, 4) float64; ``polygons`` by instance, none for one with an RLE mask; ``bitmaps``, the R RLE masks
        in order.
    """
    size = (record.height, record.width)
    boxes = torch.tensor([it.box for it in record.instances], dtype=torch.float64).reshape(-1, 4)
    masks = [it.segmentation for it in record.instances]
    return {
        "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=size),
        "polygons": Polygons.from_lists([it if isinstance(it, list) else [] for it in masks], size),
        "bitmaps": Bitmaps.from_rles([it for it in masks if isinstance(it, dict)]),
    }


def make_target(
    record: ImageRecord,
    sample: dict[str, Any],
    size: tuple[int, int],
    *,
    mask_format: str | None,
    recompute_boxes: bool,
) -> dict[str, Any]:
    """The training target from a transformed sample.

    Boxes are clipped to the image; instances with an empty box or mask are left out
    (``annotations_to_instances`` and ``filter_empty_instances`` of detectron2/data/detection_utils.py).

    Args:
        record: what the sample was made from.
        sample: from :func:`make_sample`, transformed.
        size: (height, width) of the transformed image.
        mask_format: "bitmask" for ``masks`` (N, H, W) uint8, "polygon" for ``polygons``, lists (N) of lists
            of (k, 2) float64 in pixels, None for neither.
        recompute_boxes: take the boxes from the masks.

    Returns:
        ``image_id``, ``height``, ``width`` of the original image, ``boxes`` (N, 4) float32 xyxy in pixels,
        ``labels`` (N,) int64 from 1, and the masks.
    """
    boxes = sample["boxes"].as_subclass(torch.Tensor).clone()
    boxes[:, 0::2].clamp_(0, size[1])
    boxes[:, 1::2].clamp_(0, size[0])
    boxes = boxes.float()
    labels = torch.tensor([it.label for it in record.instances], dtype=torch.int64)
    target: dict[str, Any] = {"image_id": record.image_id, "height": record.height, "width": record.width}
    if mask_format == "bitmask":
        masks = _bitmasks(record, sample, size)
        if recompute_boxes:
            boxes = _boxes_of_masks(masks)
        keep = _has_area(boxes) & masks.flatten(1).bool().any(dim=1)
        target["masks"] = masks[keep]
    elif mask_format == "polygon":
        polygons = sample["polygons"].to_lists()
        if recompute_boxes:
            boxes = _boxes_of_polygons(polygons)
        keep = _has_area(boxes) & torch.tensor([len(instance) > 0 for instance in polygons], dtype=torch.bool)
        kept = [instance for instance, wanted in zip(polygons, keep.tolist(), strict=True) if wanted]
        target["polygons"] = [[torch.from_numpy(p) for p in instance] for instance in kept]
    else:
        keep = _has_area(boxes)
    return target | {"boxes": boxes[keep], "labels": labels[keep]}


def _has_area(boxes: torch.Tensor) -> torch.Tensor:
    return ((boxes[:, 2:] - boxes[:, :2]) > MIN_BOX_SIDE).all(dim=1)


def _bitmasks(record: ImageRecord, sample: dict[str, Any], size: tuple[int, int]) -> torch.Tensor:
    masks = torch.zeros((len(record.instances), *size), dtype=torch.uint8)
    bitmaps = sample["bitmaps"].decode()
    for index, polygons in enumerate(sample["polygons"].to_lists()):
        is_rle = isinstance(record.instances[index].segmentation, dict)
        masks[index] = torch.from_numpy(np.array(next(bitmaps)) if is_rle else rasterize(polygons, *size))
    return masks


def _boxes_of_masks(masks: torch.Tensor) -> torch.Tensor:
    """Tight boxes of masks (N, H, W), zero for an empty one: (N, 4) float32."""
    boxes = torch.zeros((len(masks), 4))
    for axis, filled in ((0, masks.any(dim=1)), (1, masks.any(dim=2))):  # (N, W), (N, H)
        for index, line in enumerate(filled):
            places = torch.nonzero(line)
            if len(places):
                boxes[index, axis], boxes[index, axis + 2] = places[0, 0], places[-1, 0] + 1
    return boxes


def _boxes_of_polygons(instances: list[list[np.ndarray]]) -> torch.Tensor:
    """Tight boxes of polygons, zero for an instance without any: (N, 4) float32."""
    boxes = np.zeros((len(instances), 4), dtype=np.float32)
    for box, polygons in zip(boxes, instances, strict=True):
        if polygons:
            vertices = np.concatenate(polygons)
            box[:] = *vertices.min(axis=0), *vertices.max(axis=0)
    return torch.from_numpy(boxes)
