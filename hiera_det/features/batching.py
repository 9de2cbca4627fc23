"""From items to batches: decoded by worker processes, in order, those of one size together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from fvcore.common.config import CfgNode
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from hiera_det.features.extractor import padded_size
from hiera_det.features.items import Item, Plan
from hiera_det.features.preprocess import Preprocess
from hiera_det.features.reading import UnreadableItemError, check_boxes, read_item

__all__ = ["Batch", "PartEnd", "Prepared", "batches"]

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
class PartEnd:
    """All batches of a part of the plan have come.

    Attributes:
        part: its number.
        failed: its items that could not be read, with the reason.
    """

    part: int
    failed: list[tuple[Item, str]]


class _Items(Dataset):
    """Items of some parts, one after the other, read and prepared; one that cannot be read gives (item, reason)."""

    def __init__(self, plan: Plan, parts: Sequence[int], cfg: CfgNode) -> None:
        self.items = [item for part in parts for item in plan[part]]
        self.preprocess = Preprocess(cfg)
        self.reading = {"num_frames": cfg.INPUT.NUM_FRAMES, "rate": cfg.INPUT.RATE, "max_pixels": cfg.INPUT.MAX_PIXELS}

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Prepared | tuple[Item, str]:
        item = self.items[index]
        try:
            pixels = read_item(item, **self.reading)
            height, width = pixels.shape[-3:-1]
            boxes = torch.tensor(check_boxes(item, height, width)).view(-1, 4)
            return Prepared(item, height, width, *self.preprocess(pixels, boxes))
        except UnreadableItemError as error:
            return item, str(error)
        except ValueError as error:
            return item, f"item {item.id}: {error}"


def batches(plan: Plan, parts: Sequence[int], cfg: CfgNode) -> Iterator[Batch | PartEnd]:
    """Read parts of a plan; each part's batches, then its end.

    What is in a batch depends on the part alone. Images wait for others of their size, up to four batches' worth of
    them; then the largest group goes as it is.

    Args:
        plan: the items.
        parts: numbers of the parts, in the order to read them in.
        cfg: ``INPUT`` and ``DATALOADER``.
    """
    workers = cfg.DATALOADER.NUM_WORKERS
    loader = DataLoader(_Items(plan, parts, cfg), batch_size=None, num_workers=workers)
    stream = iter(loader)
    for part in parts:
        failed: list[tuple[Item, str]] = []
        waiting: dict[tuple[int, ...], list[Prepared]] = {}
        for _ in plan[part]:
            found = next(stream)
            if not isinstance(found, Prepared):
                failed.append(found)
                continue
            size = padded_size(found.pixels)
            waiting.setdefault(size, []).append(found)
            if len(waiting[size]) == cfg.DATALOADER.BATCH_SIZE:
                yield Batch(waiting.pop(size))
            elif sum(map(len, waiting.values())) >= _MAX_HELD * cfg.DATALOADER.BATCH_SIZE:
                yield Batch(waiting.pop(max(waiting, key=lambda key: len(waiting[key]))))
        for group in waiting.values():
            yield Batch(group)
        yield PartEnd(part, failed)
