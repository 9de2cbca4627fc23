"""Instance masks as RLEs: what is done to the image is noted, and done to each mask when it is decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

__all__ = ["Bitmaps"]

Step = Callable[[np.ndarray], np.ndarray]


class Bitmaps(tv_tensors.TVTensor):
    """The RLE masks of an image's instances, for transforms v2: decoded at once they would fill the memory.

    Attributes:
        rles: compressed, of the image as it is in the file.
        steps: from a mask (H, W) uint8 to the next, in order.
    """

    rles: Sequence[dict[str, Any]]
    steps: tuple[Step, ...]

    @classmethod
    def from_rles(cls, rles: Sequence[dict[str, Any]], steps: tuple[Step, ...] = ()) -> Bitmaps:
        """Take masks as they are."""
        bitmaps = torch.zeros(0).as_subclass(cls)
        bitmaps.rles, bitmaps.steps = rles, steps
        return bitmaps

    def after(self, step: Step) -> Bitmaps:
        """The same with one step more."""
        return Bitmaps.from_rles(self.rles, (*self.steps, step))

    def decode(self) -> Iterator[np.ndarray]:
        """Masks (H, W) uint8, one by one, after all steps."""
        for rle in self.rles:
            mask = mask_util.decode(rle)
            for step in self.steps:
                mask = step(mask)
            yield mask


@F.register_kernel(F.horizontal_flip, Bitmaps)
def _flip_horizontally(bitmaps: Bitmaps) -> Bitmaps:
    return bitmaps.after(lambda mask: mask[:, ::-1])


@F.register_kernel(F.vertical_flip, Bitmaps)
def _flip_vertically(bitmaps: Bitmaps) -> Bitmaps:
    return bitmaps.after(lambda mask: mask[::-1])


@F.register_kernel(F.resize, Bitmaps)
def _resize(bitmaps: Bitmaps, size: Sequence[int], **_: Any) -> Bitmaps:
    """Nearest pixel, by PIL as in detectron2: torchvision would take other pixels."""

    def resize(mask: np.ndarray) -> np.ndarray:
        plane = Image.fromarray(np.ascontiguousarray(mask))
        return np.asarray(plane.resize((size[1], size[0]), Image.Resampling.NEAREST))

    return bitmaps.after(resize)


@F.register_kernel(F.crop, Bitmaps)
def _crop(bitmaps: Bitmaps, top: int, left: int, height: int, width: int) -> Bitmaps:
    return bitmaps.after(lambda mask: mask[top : top + height, left : left + width])
