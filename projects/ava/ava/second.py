"""What persons do at one second of a video."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["SecondPrediction"]


@dataclass(frozen=True, eq=False)
class SecondPrediction:
    """The N persons of one second and what they do, of K actions.

    Attributes:
        second: in the video's own time.
        boxes: (N, 4) float64 xyxy, in [0, 1] of the frame's width and height.
        scores: (N,) of the boxes, 0 to 1.
        probabilities: (N, K) float32; a person may do several things at once.
        class_names: of the actions.
    """

    second: float
    boxes: np.ndarray
    scores: np.ndarray
    probabilities: np.ndarray
    class_names: list[str]

    def actions(self, min_score: float = 0.3) -> list[dict[str, float]]:
        """Give each person's actions of that probability or more by name, most probable first."""
        return [self._of_person(row, min_score) for row in self.probabilities]

    def _of_person(self, probabilities: np.ndarray, min_score: float) -> dict[str, float]:
        order = np.argsort(-probabilities, kind="stable")
        return {self.class_names[k]: float(probabilities[k]) for k in order if probabilities[k] >= min_score}
