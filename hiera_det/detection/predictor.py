"""A trained detector on single images."""

from __future__ import annotations

import logging

import numpy as np
import torch
from fvcore.common.config import CfgNode
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from hiera_det.detection.data.transforms import build_test_transform
from hiera_det.detection.model.detector import build_model
from hiera_det.engine.options import available_device
from hiera_det.weights.load import load_trained, read_trained

__all__ = ["Predictor"]

logger = logging.getLogger(__name__)


class Predictor:
    """Detects on one image at a time, in its original size. Behaviour matched: detectron2's ``DefaultPredictor``.

    Args:
        cfg: the config; ``MODEL.WEIGHTS`` names a checkpoint of a whole detector, and without a GPU ``MODEL.DEVICE``
            "cuda" gives way to the CPU, which is logged.

    Attributes:
        class_names: of labels 1..K; empty if the checkpoint does not tell.
        category_ids: of labels 1..K in the training dataset; 1..K if the checkpoint does not tell.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: the checkpoint is unreadable or of another model.
    """

    def __init__(self, cfg: CfgNode) -> None:
        model = build_model(cfg)
        trained = read_trained(cfg.MODEL.WEIGHTS)
        load_trained(model, trained)
        self.class_names: list[str] = trained.metadata.get("class_names", [])
        self.category_ids: list[int] = trained.metadata.get(
            "category_ids", list(range(1, cfg.MODEL.ROI_HEADS.NUM_CLASSES + 1))
        )
        if not self.class_names:
            logger.info("%s does not name its classes: numbers stand for them", cfg.MODEL.WEIGHTS)
        self.device = available_device(cfg.MODEL.DEVICE)
        self.model = model.to(self.device).eval()
        self._transform = build_test_transform(cfg)
        self._image_format = cfg.INPUT.FORMAT

    @torch.no_grad()
    def __call__(self, image: np.ndarray) -> dict[str, Tensor]:
        """Detect.

        Args:
            image: (H, W, 3) uint8, RGB, 0-255.

        Returns:
            On the CPU, best first: ``boxes`` (N, 4) float32 xyxy in pixels of ``image``, ``scores`` (N,), ``labels``
            (N,) 1..K and, with masks on, ``masks`` (N, H, W) bool.

        Raises:
            ValueError: the array is of another shape or type.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"expected an image (H, W, 3) of uint8, RGB; got {image.shape} of {image.dtype}")
        resized, _ = self._transform(Image.fromarray(image), {})
        tensor = F.pil_to_tensor(resized)  # (3, H', W')
        tensor = tensor.flip(0) if self._image_format == "BGR" else tensor
        detections = self.model([tensor.to(self.device)], output_sizes=[image.shape[:2]])[0]
        return {name: value.cpu() for name, value in detections.items()}
