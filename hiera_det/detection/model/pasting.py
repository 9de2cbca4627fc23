"""Detections in the network's frame to detections in the image's: boxes scaled and clipped, masks pasted one by one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import clip_boxes_to_image

CHUNK_BYTES = 2**30  # of masks pasted at a time on a GPU
STRIP_BYTES = 2**27  # of a mask pasted at a time on a CPU
PIXEL_BYTES = 13  # of each: where it is sampled, its value, whether it is set


class PastedMasks:
    """Masks of an image's detections, each pasted when it is asked for: a large image has no room for all of them.

    Args:
        soft: (D, M, M) in [0, 1], each in its box's frame.
        boxes: (D, 4) xyxy, in pixels of the image.
        size: (height, width) of the image, in pixels.
    """

    def __init__(self, soft: Tensor, boxes: Tensor, size: tuple[int, int]) -> None:
        self.soft, self.boxes, self.size = soft, boxes, size

    @property
    def shape(self) -> tuple[int, int, int]:
        """(D, height, width)."""
        return (len(self.soft), *self.size)

    def __len__(self) -> int:
        return len(self.soft)

    def __getitem__(self, index: int) -> Tensor:
        """One mask (height, width) bool."""
        return paste_masks(self.soft[index][None], self.boxes[index][None], self.size)[0]

    def __iter__(self) -> Iterator[Tensor]:
        """Masks (height, width) bool in turn; on a GPU some are pasted at a time."""
        chunk = _chunk(self.size) if self.soft.is_cuda else 1
        for first in range(0, len(self), chunk):
            yield from self.select(slice(first, first + chunk)).paste()

    def select(self, which: Any) -> PastedMasks:
        """Some of them, by a slice, indices or a mask (D,) bool."""
        return PastedMasks(self.soft[which], self.boxes[which], self.size)

    def paste(self) -> Tensor:
        """All of them, (D, height, width) bool."""
        return paste_masks(self.soft, self.boxes, self.size)

    def cpu(self) -> PastedMasks:
        """The same on the CPU."""
        return PastedMasks(self.soft.cpu(), self.boxes.cpu(), self.size)


def to_output_size(
    detections: dict[str, Tensor], input_size: tuple[int, int], output_size: tuple[int, int]
) -> dict[str, Any]:
    """Scale and clip boxes, drop those that are empty then, and let masks be pasted.

    Behaviour matched: ``detector_postprocess`` in detectron2/modeling/postprocessing.py.

    Args:
        detections: ``boxes`` (D, 4) xyxy in pixels of the network's input, ``scores``, ``labels``, and
            perhaps ``masks`` (D, M, M), soft, in each box's frame.
        input_size: (height, width) of the network's input without padding, in pixels.
        output_size: (height, width) of the result, in pixels.

    Returns:
        The same with ``boxes`` in pixels of the result and ``masks`` a :class:`PastedMasks`.
    """
    y, x = (out / given for out, given in zip(output_size, input_size, strict=True))
    boxes = clip_boxes_to_image(detections["boxes"] * detections["boxes"].new_tensor([x, y, x, y]), output_size)
    (keep,) = torch.where((boxes[:, 2:] > boxes[:, :2]).all(dim=1))
    result: dict[str, Any] = {name: value[keep] for name, value in {**detections, "boxes": boxes}.items()}
    if "masks" in result:
        result["masks"] = PastedMasks(result["masks"], result["boxes"], output_size)
    return result


def paste_masks(masks: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Sample soft masks at the image's pixel centres and cut them at one half.

    On a CPU one by one, each in its own box; on a GPU many at a time, each over all of the image.
    Behaviour matched: ``paste_masks_in_image`` in detectron2/layers/mask_ops.py.

    Args:
        masks: (D, M, M) in [0, 1], each in its box's frame.
        boxes: (D, 4) xyxy pixels, not rounded.
        size: (height, width) of the result, in pixels.

    Returns:
        (D, height, width) bool.
    """
    height, width = size
    pasted = torch.zeros(len(masks), height, width, dtype=torch.bool, device=masks.device)
    if masks.is_cuda:
        chunk = _chunk(size)
        for first in range(0, len(masks), chunk):
            part = slice(first, first + chunk)
            pasted[part] = _sample(masks[part], boxes[part], (0, height), (0, width)) >= 0.5
        return pasted
    for index, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
        left, right = max(math.floor(x0) - 1, 0), min(math.ceil(x1) + 1, width)
        top, bottom = max(math.floor(y0) - 1, 0), min(math.ceil(y1) + 1, height)
        strip = max(1, STRIP_BYTES // (PIXEL_BYTES * max(right - left, 1)))  # rows
        part = slice(index, index + 1)
        for first in range(top, bottom, strip):
            rows = first, min(first + strip, bottom)
            pasted[part, slice(*rows), left:right] = _sample(masks[part], boxes[part], rows, (left, right)) >= 0.5
    return pasted


def _chunk(size: tuple[int, int]) -> int:
    """How many masks are pasted at a time on a GPU."""
    return max(1, CHUNK_BYTES // (PIXEL_BYTES * size[0] * size[1]))


def _sample(masks: Tensor, boxes: Tensor, rows: tuple[int, int], columns: tuple[int, int]) -> Tensor:
    """Masks (D, M, M) at the pixel centres of the given rows and columns: (D, rows, columns)."""
    x0, y0, x1, y1 = boxes.float()[:, :, None].unbind(dim=1)  # (D, 1)
    y, x = (torch.arange(*span, device=boxes.device, dtype=torch.float32) + 0.5 for span in (rows, columns))
    y = (y - y0) / (y1 - y0) * 2 - 1  # (D, rows), from -1 to 1 in the box
    x = (x - x0) / (x1 - x0) * 2 - 1  # (D, columns)
    shape = len(masks), y.shape[1], x.shape[1]
    grid = torch.stack([x[:, None, :].expand(shape), y[:, :, None].expand(shape)], dim=3)
    return F.grid_sample(masks[:, None].float(), grid, align_corners=False)[:, 0]
