"""Transforms of a clip with its boxes. Random numbers come from torch's CPU generator alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

__all__ = [
    "BOX_EXTENSION",
    "BOX_JITTER",
    "ClipSample",
    "TestTransform",
    "TrainTransform",
    "extend_boxes",
    "jitter_boxes",
]

BOX_JITTER = (0.2, 0.1, 0.1, 0.05)  # VideoMAE's fine-tuning on AVA
BOX_EXTENSION = (0.1, 0.05)  # the same
ClipSample = tuple[Tensor, Tensor, Tensor]  # clip, boxes, kept


class TrainTransform:
    """Resize to a short side drawn from a range, crop a square at random, flip at random; boxes follow.

    Source: SlowFast's training on AVA (``TRAIN_JITTER_SCALES``, ``TRAIN_CROP_SIZE``), but for boxes of which the crop
    leaves nothing: these are dropped here.

    Args:
        short_side: smallest and largest length of the short side in pixels, both included.
        crop_size: side of the crop in pixels, at most the smallest short side.
        flip: mirror half of the clips; not where actions have a side, as walking left has.
        box_jitter: as of :func:`jitter_boxes`; None: boxes stay.

    Raises:
        ValueError: the lengths do not go together.
    """

    def __init__(
        self,
        short_side: tuple[int, int] = (256, 320),
        crop_size: int = 224,
        *,
        flip: bool = True,
        box_jitter: Sequence[float] | None = None,
    ) -> None:
        low, high = short_side
        if not 0 < crop_size <= low <= high:
            raise ValueError(
                f"crop of {crop_size} pixels from short sides {low} to {high}: expected 0 < crop <= smallest <= largest"
            )
        self.short_side = (low, high)
        self.crop_size = crop_size
        self.flip = flip
        self.box_jitter = _fractions("box jitter", box_jitter, 4)

    def __call__(self, frames: np.ndarray, boxes: np.ndarray) -> ClipSample:
        """Transform (T, H, W, 3) uint8 and (N, 4) xyxy in [0, 1]; returns as :class:`TestTransform` does."""
        side = int(torch.randint(self.short_side[0], self.short_side[1] + 1, ()))
        down, right, mirrored = torch.rand(3).tolist()
        clip = _resize(_channels_first(frames), side)  # (T, 3, h, w)
        moved = torch.from_numpy(boxes).double()
        if self.box_jitter is not None:
            moved = jitter_boxes(moved, self.box_jitter)
        height, width = clip.shape[-2:]
        top = int(down * (height - self.crop_size + 1))
        left = int(right * (width - self.crop_size + 1))
        clip, moved = _crop(clip, moved, top, left, self.crop_size)
        if self.flip and mirrored < 0.5:
            clip = F.horizontal_flip(clip)
            moved[:, [0, 2]] = self.crop_size - moved[:, [2, 0]]
        return _sample(clip, moved)


class TestTransform:
    """Resize to a short side and, if asked to, cut the square in the middle; boxes follow.

    Args:
        short_side: in pixels; the other side is ``short_side * long / short``, rounded down.
        centre_crop: side of a square to cut in the middle, in pixels, at most ``short_side``; None: the whole picture.
            The paper's Hiera rows have 224.
        box_extension: as of :func:`extend_boxes`; None: boxes stay.
    """

    __test__ = False  # not a test of pytest's

    def __init__(
        self, short_side: int = 224, *, centre_crop: int | None = None, box_extension: Sequence[float] | None = None
    ) -> None:
        if short_side < 1:
            raise ValueError(f"a short side of {short_side} pixels, expected at least 1")
        if centre_crop is not None and not 0 < centre_crop <= short_side:
            raise ValueError(f"a centre crop of {centre_crop} pixels, expected at most the short side, {short_side}")
        self.short_side = short_side
        self.centre_crop = centre_crop
        self.box_extension = _fractions("box extension", box_extension, 2)

    def __call__(self, frames: np.ndarray, boxes: np.ndarray) -> ClipSample:
        """Transform a clip.

        Args:
            frames: (T, H, W, 3) uint8.
            boxes: (N, 4) xyxy in [0, 1].

        Returns:
            The clip (3, T, h, w) uint8; the boxes that are left (M, 4) float32 xyxy in its pixels; which ones these
            are (M,) int64, ascending.
        """
        clip = _resize(_channels_first(frames), self.short_side)  # (T, 3, h, w)
        moved = torch.from_numpy(boxes).double()
        if self.box_extension is not None:
            moved = extend_boxes(moved, self.box_extension)
        height, width = clip.shape[-2:]
        side = self.centre_crop
        if side is not None:
            return _sample(*_crop(clip, moved, (height - side) // 2, (width - side) // 2, side))
        return _sample(clip, moved * torch.tensor([width, height, width, height]))


def jitter_boxes(boxes: Tensor, jitter: Sequence[float]) -> Tensor:
    """Move each edge on its own by a random fraction of the box's size, in training.

    Source: ``BoxList.random_aug`` of AlphAction, which VideoMAE's fine-tuning on AVA uses, without its + 1 pixel.

    Args:
        boxes: (N, 4) xyxy in [0, 1].
        jitter: largest fraction of the width that a left or right edge moves outward, and inward, then of the height
            for the upper and lower edges: (x out, x in, y out, y in).

    Returns:
        (N, 4), clipped to [0, 1].
    """
    x_out, x_in, y_out, y_in = jitter
    low = torch.tensor([-x_out, -y_out, -x_in, -y_in], dtype=boxes.dtype)
    high = torch.tensor([x_in, y_in, x_out, y_out], dtype=boxes.dtype)
    sizes = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)  # (N, 4)
    return (boxes + sizes * (low + (high - low) * torch.rand(boxes.shape, dtype=boxes.dtype))).clamp(0, 1)


def extend_boxes(boxes: Tensor, extension: Sequence[float]) -> Tensor:
    """Enlarge boxes by a fraction of their width and one of their height, half of it on each side, at test.

    Source: ``BoxList.extend`` of AlphAction, without its + 1 pixel.

    Args:
        boxes: (N, 4) xyxy in [0, 1].
        extension: fractions of (width, height).

    Returns:
        (N, 4), clipped to [0, 1].
    """
    margin = (boxes[:, 2:] - boxes[:, :2]) * torch.tensor(extension, dtype=boxes.dtype) / 2  # (N, 2)
    return torch.cat([boxes[:, :2] - margin, boxes[:, 2:] + margin], dim=1).clamp(0, 1)


def _fractions(name: str, values: Sequence[float] | None, count: int) -> tuple[float, ...] | None:
    if values is not None and (len(values) != count or not all(0 <= value < 0.5 for value in values)):
        raise ValueError(f"{name} is {list(values)}, expected {count} fractions of at least 0 and below 0.5")
    return None if values is None else tuple(values)


def _channels_first(frames: np.ndarray) -> Tensor:
    """(T, H, W, 3) as (T, 3, H, W), not copied: this memory format is the fast one to resize."""
    return torch.from_numpy(frames).permute(0, 3, 1, 2)


def _resize(clip: Tensor, side: int) -> Tensor:
    """Antialiased bilinear; the long side is rounded down, as SlowFast does."""
    height, width = clip.shape[-2:]
    short = min(height, width)
    return F.resize(clip, [height * side // short, width * side // short], antialias=True)


def _crop(clip: Tensor, boxes: Tensor, top: int, left: int, side: int) -> tuple[Tensor, Tensor]:
    """Cut a square; boxes in [0, 1] become pixels of it, not yet clipped."""
    height, width = clip.shape[-2:]
    pixels = boxes * torch.tensor([width, height, width, height]) - torch.tensor([left, top, left, top])
    return F.crop(clip, top, left, side, side), pixels


def _sample(clip: Tensor, boxes: Tensor) -> ClipSample:
    """Clip the boxes and drop those of which nothing is left."""
    height, width = clip.shape[-2:]
    clipped = torch.minimum(boxes.clamp(min=0), torch.tensor([width, height, width, height])).float()
    kept = ((clipped[:, 2] > clipped[:, 0]) & (clipped[:, 3] > clipped[:, 1])).nonzero()[:, 0]
    return clip.permute(1, 0, 2, 3).contiguous(), clipped[kept], kept  # (3, T, h, w)
