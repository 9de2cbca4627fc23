"""From items to batches: decoded by worker processes, in order, those of one size together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from fvcore.common.config import CfgNode
from torch import Tensor
from torch.utils.data import Dataset

from hiera_det.engine.loaders import build_loader
from hiera_det.features.extractor import padded_size
from hiera_det.features.preprocess import Preprocess
from hiera_det.inputs.items import Item, Plan
from hiera_det.inputs.reading import UnreadableItemError, check_boxes, read_item

__all__ = ["Batch", "PartEnd", "Prepared", "Unreadable", "batches"]

_MAX_PIXELS = 2**24  # of a batch, of all frames, with padding: larger images go in smaller batches
_MAX_HELD = 4  # batches' worth of images that wait for others of their size


@dataclass(frozen=True)
class Prepared:
    """An item at the model's input size.

    Attributes:
        item: what it is of.
        height: as decoded, in pixels.
        width: as decoded.
        pixels: (3, (T,) h, w) uint8.
        boxes: (N, 4) xyxy in its pixels.
    """

    item: Item
    height: int
    width: int
    pixels: Tensor
    boxes: Tensor


@dataclass(frozen=True)
class Batch:
    """Images or clips that pad to one size."""

    images: list[Prepared]


@dataclass(frozen=True)
class Unreadable:
    """An item that cannot be read, and why, in one line."""

    item: Item
    reason: str


@dataclass(frozen=True)
class PartEnd:
    """All items of a part of the plan have come."""

    part: int


class _Items(Dataset):
    """Items of some parts, one after the other, read and prepared; for each its pixels, or why there are none."""

    def __init__(self, plan: Plan, parts: Sequence[int], cfg: CfgNode) -> None:
        self.items = [item for part in parts for item in plan[part]]
        self.preprocess = Preprocess(cfg)
        self.with_boxes = "roi" in cfg.FEATURES.VECTORS
        node = cfg.INPUT
        self.reading = {"num_frames": node.NUM_FRAMES, "rate": node.RATE}
        self.reading |= {"max_pixels": node.MAX_PIXELS, "pixel_range": node.PIXEL_RANGE}

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Prepared | Unreadable:
        item = self.items[index]
        try:
            pixels = read_item(item, **self.reading)
            height, width = pixels.shape[-3:-1]
            boxes = torch.as_tensor(check_boxes(item, height, width)) if self.with_boxes else torch.zeros(0, 4)
            return Prepared(item, height, width, *self.preprocess(pixels, boxes))
        except UnreadableItemError as error:
            return Unreadable(item, str(error))
        except ValueError as error:
            return Unreadable(item, f"item {item.id}: {error}")


def batches(plan: Plan, parts: Sequence[int], cfg: CfgNode) -> Iterator[Batch | Unreadable | PartEnd]:
    """Read parts of a plan: each part's batches and what cannot be read, then its end.

    What is in a batch depends on the part alone. Images wait for others of their size, up to four batches' worth of
    them; then the largest group goes as it is.

    Args:
        plan: the items.
        parts: numbers of the parts, in the order to read them in.
        cfg: ``INPUT``, ``DATALOADER`` and ``FEATURES.VECTORS``.
    """
    items = _Items(plan, parts, cfg)
    loader = build_loader(items, range(len(items)), None, _unchanged, cfg.DATALOADER.NUM_WORKERS)
    stream = map(_owned, loader)
    for part in parts:
        waiting: dict[tuple[int, int], list[Prepared]] = {}
        for _ in plan[part]:
            found = next(stream)
            if isinstance(found, Unreadable):
                yield found
                continue
            size = padded_size(found.pixels)
            waiting.setdefault(size, []).append(found)
            if _worth(waiting[size], cfg) >= 1:
                yield Batch(waiting.pop(size))
            elif sum(_worth(group, cfg) for group in waiting.values()) >= _MAX_HELD:
                yield Batch(waiting.pop(max(waiting, key=lambda key: len(waiting[key]))))
        for group in waiting.values():
            yield Batch(group)
        yield PartEnd(part)


def _worth(group: Sequence[Prepared], cfg: CfgNode) -> float:
    """How much of a batch images of one size make, by their number or by their pixels."""
    height, width = padded_size(group[0].pixels)
    pixels = group[0].pixels[0, ..., 0, 0].numel() * height * width  # of its frames
    return max(len(group) / cfg.DATALOADER.BATCH_SIZE, len(group) * pixels / _MAX_PIXELS)


def _unchanged(found: Prepared | Unreadable) -> Prepared | Unreadable:
    return found


def _owned(found: Prepared | Unreadable) -> Prepared | Unreadable:
    """With memory of this process: that of a worker costs an open file as long as it is held."""
    if isinstance(found, Unreadable):
        return found
    pixels = found.pixels.clone()
    pinned = pixels.pin_memory() if torch.cuda.is_available() else pixels
    return replace(found, pixels=pinned, boxes=found.boxes.clone())
