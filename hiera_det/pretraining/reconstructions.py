"""Drawn reconstructions: what was there, what the encoder saw, and what the decoder made of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import lightning as L
import numpy as np
import torch
from fvcore.common.config import CfgNode
from torch import Tensor

from hiera_det.data.pixels import as_rgb
from hiera_det.data.reading import in_format
from hiera_det.data.video import NOMINAL_FPS
from hiera_det.data.video_writer import write_video
from hiera_det.engine.loggers import log_image
from hiera_det.hiera.mae import MaskedAutoencoderHiera
from hiera_det.hiera.masking import hide
from hiera_det.utils.visualize import side_by_side, write_image

if TYPE_CHECKING:
    from hiera_det.pretraining.task import PretrainingTask

__all__ = ["Reconstructions", "TrainingReconstructions"]

NUM_ITEMS = 8
MIN_SIDE = 224  # pixels; smaller images are enlarged


class Reconstructions:
    """The first images or clips of an evaluation or a batch, with what the model made of them.

    Args:
        cfg: ``MODEL`` and ``INPUT`` are read.
    """

    def __init__(self, cfg: CfgNode) -> None:
        self.cfg = cfg
        self._kept: list[list[np.ndarray]] = []  # of each item its frames

    def clear(self) -> None:
        """Forget those of an earlier evaluation."""
        self._kept = []

    def keep(self, model: Any, x: Tensor, pred: Tensor, mask: Tensor, names: Sequence[str]) -> None:
        """Keep some of a batch, until there are enough.

        Args:
            model: the autoencoder.
            x: what it was given.
            pred: what it predicted.
            mask: what it was shown.
            names: of the items.
        """
        number = min(NUM_ITEMS - len(self._kept), len(x))
        if number > 0:
            predicted = pred.unflatten(0, (len(x), -1))[:number]
            self._kept += _panels(self.cfg, model, x[:number], predicted, mask[:number], names)

    def sheet(self) -> np.ndarray:
        """All that were kept below one another, (H, W, 3) uint8 RGB; of a clip its frames."""
        return np.concatenate([frame for frames in self._kept for frame in frames])

    def write(self, folder: Path, name: str | None = None) -> None:
        """Write a picture of each, or with a name one of all; of a clip also an mp4.

        Args:
            folder: it is made.
            name: of the one picture.
        """
        if not self._kept:
            return
        folder.mkdir(parents=True, exist_ok=True)
        if name is not None:
            write_image(folder / f"{name}.png", self.sheet())
        for number, frames in enumerate(self._kept):
            if name is None:
                write_image(folder / f"{number:03d}.png", np.concatenate(frames))
            if len(frames) > 1:
                step = self.cfg.INPUT.RATE * 2 / NOMINAL_FPS  # a token's first frame of two
                video = folder / f"{name or 'clip'}_{number:03d}.mp4"
                write_video(video, ((i * step, frame) for i, frame in enumerate(frames)))


class TrainingReconstructions(L.Callback):
    """Draws a batch's first images every ``VIS_PERIOD`` iterations, to ``OUTPUT_DIR/pictures`` and the loggers.

    Args:
        task: whose batches these are.
    """

    def __init__(self, task: PretrainingTask) -> None:
        self.task = task

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Draw if it is time."""
        cfg = self.task.cfg
        if not trainer.is_global_zero or trainer.global_step % cfg.VIS_PERIOD:
            return
        first = {name: batch[-1][name][:NUM_ITEMS] for name in ("crops", "masks")}
        first = self.task.to_device(first, pl_module.device)
        x = self.task.normalized(first["crops"])
        model = pl_module.model.eval()
        with torch.no_grad(), trainer.precision_plugin.forward_context():
            _, pred, _, mask = model(x, cfg.MODEL.MAE.MASK_RATIO, first["masks"])
        model.train()
        drawn = Reconstructions(cfg)
        drawn.keep(model, x, pred, mask, [""] * len(x))
        iteration = trainer.global_step - 1
        drawn.write(Path(cfg.OUTPUT_DIR) / "pictures", f"{iteration:07d}")
        log_image(trainer.loggers, "train/reconstructions", drawn.sheet(), iteration)


def _panels(
    cfg: CfgNode, model: MaskedAutoencoderHiera, x: Tensor, pred: Tensor, mask: Tensor, names: Sequence[str]
) -> list[list[np.ndarray]]:
    """Of each item its frames, of an image one: three panels side by side, the first with the item's name."""
    clip = x.ndim == 5
    units = model.mask_units(x.shape[2:])
    grey = x.new_tensor([127.5]).expand(x.shape[1])
    mean, std = (x.new_tensor(values) for values in (cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD))
    columns = {"image": x, "what the encoder sees": _seen(x, mask, units, (grey - mean) / std)}
    if model.target == "pixel":
        columns[_title(model)] = model.reconstruct(x, pred.flatten(0, 1), mask)
    if clip:
        stride = model.patch_stride[0]
        columns = {name: its[:, :, ::stride] if its.shape[2] == x.shape[2] else its for name, its in columns.items()}
    else:
        columns = {name: its[:, :, None] for name, its in columns.items()}
    of_items = []
    for item, name in zip(range(len(x)), names, strict=False):
        frames = []
        for frame in range(next(iter(columns.values())).shape[2]):
            panels = [_image(its[item, :, frame], cfg) for its in columns.values()]
            frames.append(side_by_side(panels, [name or "image", *list(columns)[1:]]))
        of_items.append(frames)
    return of_items


def _title(model: MaskedAutoencoderHiera) -> str:
    return "predicted, mean and contrast true" if model.normalize_target else "predicted"


def _seen(x: Tensor, mask: Tensor, units: tuple[int, ...], fill: Tensor) -> Tensor:
    """With dropped mask units of one colour (C,)."""
    fill = fill.view(-1, *(1 for _ in units))
    return hide(x - fill, mask, units) + fill


def _image(pixels: Tensor, cfg: CfgNode) -> np.ndarray:
    """RGB (H, W, 3) uint8 of normalised pixels (C, H, W)."""
    mean, std = (pixels.new_tensor(values).view(-1, 1, 1) for values in (cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD))
    values = (pixels * std + mean).round().clamp(0, 255).byte()
    image = as_rgb(in_format(values, cfg.INPUT.FORMAT).permute(1, 2, 0).cpu().numpy())
    factor = max(1, -(-MIN_SIDE // min(image.shape[:2])))
    return cv2.resize(np.ascontiguousarray(image), None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)
