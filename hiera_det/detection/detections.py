"""What a detector found in an image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from hiera_det.coco.results import to_coco_results
from hiera_det.detection.model.pasting import PastedMasks
from hiera_det.utils.visualize import draw_instances

__all__ = ["Detections"]


@dataclass(frozen=True, eq=False)
class Detections:
    """What a detector found in an image, best first; N detections, on the CPU.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        boxes: (N, 4) float32 xyxy, in pixels of the image.
        scores: (N,) float32, 0 to 1.
        labels: (N,) int64, indices into ``class_names``, counted from 0.
        category_ids: (N,) int64, the ids that the training set has for the labels.
        pasted: masks, each pasted into the image when it is asked for; None: the detector has no masks.
        class_names: of all classes of the detector.
        seconds: of a video's frame, from the video's start.
    """

    image: np.ndarray
    boxes: Tensor
    scores: Tensor
    labels: Tensor
    category_ids: Tensor
    pasted: PastedMasks | None
    class_names: list[str]
    seconds: float | None = None

    @cached_property
    def masks(self) -> Tensor | None:
        """(N, H, W) bool; None: the detector has no masks. ``pasted`` gives them one by one, in less memory."""
        return None if self.pasted is None else self.pasted.paste()

    def __len__(self) -> int:
        """How many detections there are."""
        return len(self.scores)

    def __repr__(self) -> str:
        """A short one: arrays would fill the screen."""
        height, width = self.image.shape[:2]
        found = ", ".join(
            f"{self.class_names[label]} {score:.2f}"
            for label, score in zip(self.labels[:5].tolist(), self.scores[:5].tolist(), strict=True)
        )
        return f"Detections({len(self)} in {width} x {height} pixels: {found}{', …' if len(self) > 5 else ''})"

    def draw(self) -> Image.Image:
        """Draw boxes, masks, class names and scores on a copy of the image."""
        return Image.fromarray(draw_instances(self.image, self._instances(), self.class_names))

    def to_coco(self, image_id: int = 0) -> list[dict[str, Any]]:
        """Give the detections as COCO results.

        Args:
            image_id: goes into each result.

        Returns:
            For each ``image_id``, ``category_id``, ``bbox`` (x, y, width, height), ``score`` and, with masks,
            ``segmentation`` (compressed RLE).
        """
        return to_coco_results(image_id, self._instances(), self.category_ids.tolist())

    def to_supervision(self) -> Any:
        """Give the detections as ``supervision.Detections``, class names in ``data["class_name"]``.

        Raises:
            ImportError: supervision is not installed.
        """
        try:
            from supervision import Detections as SupervisionDetections
        except ModuleNotFoundError as error:
            if error.name != "supervision":
                raise
            raise ImportError("to_supervision needs the package supervision: pip install supervision") from error
        labels = self.labels.numpy()
        return SupervisionDetections(
            xyxy=self.boxes.numpy().reshape(-1, 4),
            mask=None if self.masks is None else self.masks.numpy(),
            confidence=self.scores.numpy(),
            class_id=labels.astype(int),
            data={"class_name": np.array([self.class_names[label] for label in labels], dtype=object).astype(str)},
        )

    def _instances(self) -> dict[str, Any]:
        """As the functions of the detector's own results take them, labels from 1."""
        found = {"boxes": self.boxes, "scores": self.scores, "labels": self.labels + 1}
        return found if self.pasted is None else {**found, "masks": self.pasted}
