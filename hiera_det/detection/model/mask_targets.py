"""What the mask head should predict in a box, from bitmaps or from polygons."""

from __future__ import annotations

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor
from torchvision.ops import roi_align

_CHUNK_PIXELS = 2**26  # of bitmaps that are floats at a time


def crop_bitmaps(masks: Tensor, boxes: Tensor, matched: Tensor, size: int) -> Tensor:
    """The part of a bitmap in each box, resampled, and cut at one half.

    Behaviour matched: ``BitMasks.crop_and_resize`` in detectron2/structures/masks.py.

    Args:
        masks: (N, H, W) of the image's instances, uint8 or bool.
        boxes: (R, 4) xyxy pixels.
        matched: (R,) index of each box's instance.
        size: side of the result.

    Returns:
        (R, size, size) bool.
    """
    targets = torch.zeros(len(boxes), size, size, dtype=torch.bool, device=boxes.device)
    chunk = max(1, _CHUNK_PIXELS // max(masks[0].numel(), 1)) if len(masks) else 1
    for first in range(0, len(masks), chunk):
        mine = torch.where((matched >= first) & (matched < first + chunk))[0]
        numbers = (matched[mine] - first)[:, None].to(torch.float32)
        rois = torch.cat([numbers, boxes[mine].float()], dim=1)  # (R', 5)
        planes = masks[first : first + chunk, None].float()  # (N', 1, H, W)
        targets[mine] = roi_align(planes, rois, (size, size), 1.0, sampling_ratio=0, aligned=True)[:, 0] >= 0.5
    return targets


def rasterise_polygons(polygons: list[list[Tensor]], boxes: Tensor, matched: Tensor, size: int) -> Tensor:
    """The polygons in each box's own frame, filled at the result's resolution.

    Behaviour matched: ``rasterize_polygons_within_box`` in detectron2/structures/masks.py.

    Args:
        polygons: of the image's instances, each a list of (k, 2) vertices x, y in pixels.
        boxes: (R, 4) xyxy pixels.
        matched: (R,) index of each box's instance.
        size: side of the result.

    Returns:
        (R, size, size) bool, on the boxes' device.
    """
    targets = np.zeros((len(boxes), size, size), dtype=bool)
    vertices = [[polygon.cpu().numpy().astype(np.float64) for polygon in instance] for instance in polygons]
    corners = boxes.float().cpu().numpy()
    for target, box, index in zip(targets, corners, matched.tolist(), strict=True):
        if not vertices[index]:
            continue
        scale = np.float32(size) / np.maximum(box[2:] - box[:2], np.float32(0.1))
        rings = [((polygon - box[:2]) * scale).ravel().tolist() for polygon in vertices[index]]
        target[:] = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(rings, size, size)))
    return torch.from_numpy(targets).to(boxes.device)


def mask_targets(target: dict, boxes: Tensor, matched: Tensor, size: int) -> Tensor:
    """Targets (R, size, size) bool from whichever of ``masks`` and ``polygons`` the image's target carries.

    Raises:
        KeyError: it carries neither.
    """
    if "masks" in target:
        return crop_bitmaps(target["masks"], boxes, matched, size)
    if "polygons" in target:
        return rasterise_polygons(target["polygons"], boxes, matched, size)
    raise KeyError(f"a target with MODEL.MASK_ON needs `masks` or `polygons`; it has {sorted(target)}")
