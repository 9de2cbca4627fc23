"""Crops of images and clips, each with the mask units that the encoder sees of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from fvcore.common.config import CfgNode
from torch import Tensor
from torch.utils.data import Dataset

from hiera_det.data.reading import in_format, reading_of
from hiera_det.engine.samplers import drawn
from hiera_det.hiera.masking import draw_mask
from hiera_det.inputs.items import Item
from hiera_det.inputs.reading import UnreadableItemError, read_item
from hiera_det.pretraining.model import mask_units
from hiera_det.pretraining.transforms import build_train_transform, centre

__all__ = ["PretrainingDataset"]

logger = logging.getLogger(__name__)

_MAX_BROKEN = 20  # items in a row


class PretrainingDataset(Dataset):
    """Images, or clips of videos, without labels.

    ``dataset[(index, draw)]`` is for training: the integer ``draw`` alone seeds crops, flips, masks and the time of a
    clip, and in place of an item that cannot be read one is taken that ``draw`` chooses. ``dataset[index]`` is for
    evaluation: the centre, with a mask that ``index`` alone seeds.

    An item is a dict:
        index: of the item that was taken.
        crops: (R, C, (T,) H, W) uint8, R crops of what was decoded once; absent where it cannot be read.
        masks: (R, #mask units) bool, True = keep.
        broken: by index, a message for what could not be read.

    Args:
        items: of :func:`~hiera_det.inputs.find.find_items`.
        cfg: of :func:`~hiera_det.pretraining.config.defaults`.

    Raises:
        ValueError: a key has a value that makes no sense.
    """

    def __init__(self, items: Sequence[Item], cfg: CfgNode) -> None:
        self.items = items
        self.units = mask_units(cfg)
        self.ratio = cfg.MODEL.MAE.MASK_RATIO
        self.repeats = cfg.INPUT.REPEATS
        self.format = cfg.INPUT.FORMAT
        self.half_step = cfg.DATASETS.EVERY / 2
        self.transform, self.size = build_train_transform(cfg), list(cfg.INPUT.SIZE)
        self.reading: dict[str, Any] = {"num_frames": cfg.INPUT.NUM_FRAMES, "rate": cfg.INPUT.RATE, **reading_of(cfg)}

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, Any]:
        if isinstance(key, tuple):
            return self._training_item(*key)
        try:
            pixels = self._read(self.items[key])
        except UnreadableItemError as error:
            return {"index": key, "broken": {key: str(error)}}
        crop = self._in_format(centre(pixels, self.size))
        masks = draw_mask(1, self.units, self.ratio, generator=torch.Generator().manual_seed(key))
        return {"index": key, "crops": crop[None], "masks": masks, "broken": {}}

    def _training_item(self, index: int, draw: int) -> dict[str, Any]:
        with drawn(draw):
            index, pixels, broken = self._read_unbroken(index)
            crops = [self._in_format(self.transform(pixels)) for _ in range(self.repeats)]
            masks = draw_mask(self.repeats, self.units, self.ratio)
        return {"index": index, "crops": torch.stack(crops), "masks": masks, "broken": broken}

    def _read_unbroken(self, index: int) -> tuple[int, Tensor, dict[int, str]]:
        broken: dict[int, str] = {}
        for _ in range(_MAX_BROKEN):
            try:
                return index, self._read_moved(self.items[index]), broken
            except UnreadableItemError as error:
                logger.warning("%s; taking another in its place", error)
                broken[index] = str(error)
                last = error
            index = int(torch.randint(len(self), ()))
        raise UnreadableItemError(f"{_MAX_BROKEN} items in a row cannot be read; the last: {last}")

    def _read_moved(self, item: Item) -> Tensor:
        """A clip at a random time around its own, where the video has one there; an image as it is."""
        if item.time is None:
            return self._read(item)
        shift = (2 * torch.rand(()).item() - 1) * self.half_step
        try:
            return self._read(replace(item, time=max(item.time + shift, 0.0)))
        except UnreadableItemError:  # it may lie behind the end
            return self._read(item)

    def _read(self, item: Item) -> Tensor:
        """((T,) C, H, W) uint8."""
        pixels: np.ndarray = read_item(item, **self.reading)
        return torch.from_numpy(pixels).movedim(-1, -3)

    def _in_format(self, crop: Tensor) -> Tensor:
        """From ((T,) C, H, W) to (C, (T,) H, W), channels in the order of ``INPUT.FORMAT``."""
        return in_format(crop.transpose(0, 1) if crop.ndim == 4 else crop, self.format).contiguous()
