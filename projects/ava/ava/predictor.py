"""Actions of given persons in one clip."""

from __future__ import annotations

import numpy as np
import torch
from fvcore.common.config import CfgNode

from hiera_det.engine.options import available_device
from hiera_det.projects.ava.data.transforms import TestTransform
from hiera_det.projects.ava.model import build_model
from hiera_det.weights.load import load_trained, read_trained

__all__ = ["ActionPredictor"]


class ActionPredictor:
    """Classifies persons, clip by clip, on the whole picture.

    Args:
        cfg: the config; ``MODEL.WEIGHTS`` names a checkpoint of a run, and without a GPU ``MODEL.DEVICE`` "cuda" gives
            way to the CPU, which is logged.

    Attributes:
        label_map: action names by id, as the checkpoint has them.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: the checkpoint is unreadable, names no actions, or is of another model.
    """

    def __init__(self, cfg: CfgNode) -> None:
        trained = read_trained(cfg.MODEL.WEIGHTS)
        if not {"class_names", "class_ids"} <= trained.metadata.keys():
            raise ValueError(f"{trained.source} names no actions; expected a checkpoint of projects/ava/train_net.py")
        ids, names = (trained.metadata[key] for key in ("class_ids", "class_names"))
        self.label_map: dict[int, str] = dict(zip(ids, names, strict=True))
        model = build_model(cfg, len(self.label_map))
        load_trained(model, trained)
        self.device = available_device(cfg.MODEL.DEVICE)
        self.model = model.to(self.device).eval()
        self.num_frames, self.rate = cfg.INPUT.NUM_FRAMES, cfg.INPUT.RATE
        self._transform = TestTransform(cfg.INPUT.MIN_SIZE_TEST, box_extension=cfg.INPUT.BOX_EXTENSION)

    @torch.no_grad()
    def __call__(self, frames: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Classify.

        Args:
            frames: (T, H, W, 3) uint8 RGB, ``num_frames`` of them.
            boxes: (N, 4) xyxy in [0, 1].

        Returns:
            (N, K) float32 probabilities, in the order of ``label_map``; zeros for a box without area.
        """
        probabilities = np.zeros((len(boxes), len(self.label_map)), np.float32)
        clip, moved, kept = self._transform(frames, np.asarray(boxes, np.float64).reshape(-1, 4))
        if len(kept):
            logits = self.model(clip[None].to(self.device), [moved.to(self.device)])
            probabilities[kept.numpy()] = logits.sigmoid().cpu().numpy()
        return probabilities
