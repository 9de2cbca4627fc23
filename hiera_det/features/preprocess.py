"""From decoded pixels to the model's input size, boxes following."""

from __future__ import annotations

import numpy as np
from fvcore.common.config import CfgNode
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from hiera_det.data.reading import reading_of
from hiera_det.data.resize import center_offset, resized, short_side_size, shortest_edge_size, side_before_crop

__all__ = ["Preprocess"]

MODES = {
    "none": None,
    "crop": InterpolationMode.BICUBIC,
    "squash": InterpolationMode.BICUBIC,
    "shortest_edge": InterpolationMode.BILINEAR,
}


class Preprocess:
    """Resize and crop an image or a clip, as ``INPUT.RESIZE`` says.

    "none": native size. "crop": the short side to ``SIZE`` / 0.875, bicubic, and a centre crop of ``SIZE``, as the
    original evaluates its classifiers. "squash": to ``SIZE`` x ``SIZE``, bicubic. "shortest_edge": bilinear, an image
    as detectron2's ``ResizeShortestEdge`` at test time, a clip as SlowFast at test time, which rounds the long side
    down. Images are resized by PIL, the frames of clips by torchvision.

    Args:
        cfg: ``INPUT`` and ``MODEL.HIERA.SQUARE_PAD`` are read.

    Raises:
        ValueError: there is no such mode, or a size is above ``SQUARE_PAD`` for all images.
    """

    def __init__(self, cfg: CfgNode) -> None:
        node = cfg.INPUT
        if node.RESIZE not in MODES:
            raise ValueError(f"INPUT.RESIZE is {node.RESIZE!r}; expected one of {', '.join(MODES)}")
        if len(cfg.MODEL.PIXEL_MEAN) != 3:
            raise ValueError(
                f"MODEL.PIXEL_MEAN has {len(cfg.MODEL.PIXEL_MEAN)} values; features are taken of 3 channels"
            )
        self.reading, self.max_pixels = reading_of(cfg), node.MAX_PIXELS
        self.mode = node.RESIZE
        self.side = node.SIZE
        self.square_pad = cfg.MODEL.HIERA.SQUARE_PAD
        if self.mode in ("crop", "squash"):
            self._check_fits(self.side, self.side)
        self.shortest_edge = node.MIN_SIZE_TEST, node.MAX_SIZE_TEST
        self.flip_channels = node.FORMAT == "BGR"

    def __call__(self, pixels: np.ndarray, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Transform.

        Args:
            pixels: an image (H, W, 3) or a clip (T, H, W, 3), uint8 RGB.
            boxes: (N, 4) xyxy, in its pixels.

        Returns:
            (3, h, w) or (3, T, h, w) uint8, channels in the order of ``INPUT.FORMAT``; and the boxes in its pixels.

        Raises:
            ValueError: nothing is left of a box, the result is larger than ``SQUARE_PAD``, or the image is so thin that
                it would have more than ``INPUT.MAX_PIXELS`` before its centre is cut out.
        """
        height, width = pixels.shape[-3:-1]
        size = self._size(height, width, is_clip=pixels.ndim == 4)
        if self.mode == "crop" and size[0] * size[1] > self.max_pixels:
            raise ValueError(
                f"an image of {height} x {width} pixels, which crop would first make {size[0]} x {size[1]}, more than "
                f"INPUT.MAX_PIXELS ({self.max_pixels}); choose another INPUT.RESIZE"
            )
        out = resized(pixels, size, MODES[self.mode])  # ((T,) 3, h, w)
        boxes = boxes * boxes.new_tensor([size[1] / width, size[0] / height] * 2)
        if self.mode == "crop":
            top, left = (center_offset(n, self.side) for n in size)
            out = F.crop(out, top, left, self.side, self.side)
            boxes = _clipped(boxes - boxes.new_tensor([left, top] * 2), self.side)
        self._check_fits(*out.shape[-2:])
        if out.dim() == 4:
            out = out.transpose(0, 1)  # (3, T, h, w)
        return (out.flip(0) if self.flip_channels else out).contiguous(), boxes

    def _check_fits(self, height: int, width: int) -> None:
        if 0 < self.square_pad < max(height, width):
            raise ValueError(
                f"an image of {height} x {width} pixels, but MODEL.HIERA.SQUARE_PAD is {self.square_pad}: "
                "raise it, or make the images smaller by INPUT.RESIZE"
            )

    def _size(self, height: int, width: int, *, is_clip: bool) -> tuple[int, int]:
        if self.mode == "none":
            return height, width
        if self.mode == "squash":
            return self.side, self.side
        if self.mode == "shortest_edge":
            fitted = _clip_size if is_clip else shortest_edge_size
            return fitted(height, width, *self.shortest_edge)
        return short_side_size(height, width, side_before_crop(self.side))


def _clip_size(height: int, width: int, short_side: int, max_size: int) -> tuple[int, int]:
    """New (height, width): short side ``short_side``, or long side ``max_size`` if it is exceeded; rounded down."""
    short, long = sorted((height, width))
    to, of = (short_side, short) if long * short_side // short <= max_size else (max_size, long)
    return max(height * to // of, 1), max(width * to // of, 1)


def _clipped(boxes: Tensor, side: int) -> Tensor:
    clipped = boxes.clamp(0, side)
    lost = (clipped[:, 2:] <= clipped[:, :2]).any(dim=1).nonzero()[:, 0].tolist()
    if lost:
        raise ValueError(f"box {lost[0]} lies outside the centre crop; choose another INPUT.RESIZE")
    return clipped
