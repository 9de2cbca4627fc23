"""A trained detector on images and videos in any form."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import overload

import numpy as np
import torch
from fvcore.common.config import CfgNode
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from hiera_det.config import get_cfg
from hiera_det.data.pixels import ImageSource, as_image, as_rgb, to_pixels
from hiera_det.data.reading import in_format, reading_of
from hiera_det.data.video import read_frames
from hiera_det.detection.data.transforms import build_test_transform
from hiera_det.detection.detections import Detections
from hiera_det.detection.model.detector import Detector, build_model
from hiera_det.engine.predictor import Predictor
from hiera_det.weights.trained import TrainedModel

__all__ = ["DetectionPredictor"]

logger = logging.getLogger(__name__)


class DetectionPredictor(Predictor):
    """Detects on one image at a time, in its original size. Behaviour matched: detectron2's ``DefaultPredictor``.

    See :class:`~hiera_det.engine.predictor.Predictor`; names stand in for classes that the checkpoint does not tell.
    """

    task, kind, pipeline = "detection", "object detection", "object-detection"
    model: Detector

    def __init__(self, trained: TrainedModel, cfg: CfgNode, device: str = "auto") -> None:
        self.reading = reading_of(cfg)
        super().__init__(trained, cfg, device)
        self._transform = build_test_transform(cfg)

    @staticmethod
    def defaults() -> CfgNode:
        """The keys of detection."""
        return get_cfg()

    def _classes(self, trained: TrainedModel) -> tuple[list[str], list[int]]:
        count = self.cfg.MODEL.ROI_HEADS.NUM_CLASSES
        names, ids = trained.description.class_names, trained.description.category_ids
        if names is None or ids is None:
            logger.info("%s does not name its classes: numbers stand for them", trained.source)
            return [str(number) for number in range(1, count + 1)], list(range(1, count + 1))
        if len(names) != count:
            raise ValueError(
                f"{trained.source} names {len(names)} classes, but its config has MODEL.ROI_HEADS.NUM_CLASSES {count}:"
                " the file is damaged, or the config is another run's"
            )
        return names, ids

    def _build(self) -> Detector:
        return build_model(self.cfg)

    @overload
    def predict(self, source: ImageSource, *, score_threshold: float | None = None) -> Detections: ...

    @overload
    def predict(
        self, source: list[ImageSource] | tuple[ImageSource, ...], *, score_threshold: float | None = None
    ) -> list[Detections]: ...

    def predict(
        self, source: ImageSource | list[ImageSource] | tuple[ImageSource, ...], *, score_threshold: float | None = None
    ) -> Detections | list[Detections]:
        """Detect on an image, or on each of a list.

        Args:
            source: see :func:`~hiera_det.data.pixels.to_pixels`; of a list or tuple, a list comes back.
            score_threshold: detections with a score above it are given, 0 to 1; None: the config's
                ``MODEL.ROI_HEADS.SCORE_THRESH_TEST``, 0.05 if it does not say.

        Raises:
            OSError: an image cannot be had or decoded.
            ValueError: an image or the threshold is not as expected.
        """
        if isinstance(source, list | tuple):
            return [self.predict(one, score_threshold=score_threshold) for one in source]
        return self._detect(to_pixels(source, **self.reading), score_threshold)

    def predict_video(self, path: str | Path, *, score_threshold: float | None = None) -> Iterator[Detections]:
        """Detect on each frame of a video, one after another; those that are damaged are left out, with a warning.

        Args:
            path: the file.
            score_threshold: as of :meth:`predict`.

        Raises:
            OSError, ValueError: the file cannot be read or decoded.
        """
        limit = self.reading["max_pixels"]
        for seconds, frame in read_frames(
            Path(path), lambda _, reason: logger.warning("left out: %s", reason), max_pixels=limit
        ):
            yield self._detect(to_pixels(frame, **self.reading), score_threshold, seconds)

    @torch.no_grad()
    def _detect(self, image: np.ndarray, score_threshold: float | None, seconds: float | None = None) -> Detections:
        """Detect on (H, W, C) uint8, as :func:`~hiera_det.data.pixels.to_pixels` gives it."""
        if score_threshold is not None and not 0 <= score_threshold <= 1:
            raise ValueError(f"score_threshold is {score_threshold}; expected 0 to 1")
        resized, _ = self._transform(as_image(image), {})
        tensor = in_format(F.pil_to_tensor(resized), self.cfg.INPUT.FORMAT)  # (C, H', W')
        (found,) = self.model([tensor.to(self.device)], None, [image.shape[:2]], score_threshold, paste=False)
        labels = found["labels"].cpu() - 1  # the detector's own are 1..K
        ids: Tensor = torch.tensor(self.category_ids)[labels]
        masks = found["masks"].cpu() if "masks" in found else None
        return Detections(
            as_rgb(image), found["boxes"].cpu(), found["scores"].cpu(), labels, ids, masks, self.class_names, seconds
        )
