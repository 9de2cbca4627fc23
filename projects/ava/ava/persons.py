"""Who is in a video: persons of a file of boxes, or of a detector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from hiera_det.projects.ava.formats import Rows

__all__ = ["PersonDetector", "Persons", "persons_detected", "persons_of"]

Persons = Callable[[float, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From a second and its frame (H, W, 3) RGB to boxes (N, 4) in [0, 1] and their scores (N,)."""


class PersonDetector(Protocol):
    """A detector such as ``hiera_det.load`` gives."""

    class_names: list[str]

    def predict(self, source: Any, *, score_threshold: float) -> Any:
        """Give ``boxes`` (N, 4) in pixels, ``scores`` and ``labels`` (N,) of a frame (H, W, 3)."""


def persons_of(rows: Rows, video: str, min_score: float) -> tuple[list[float], Persons]:
    """Persons as a file of boxes has them: its seconds of a video, and what gives their boxes.

    Raises:
        ValueError: the file has no box of this video of that score or more.
    """
    mine = np.zeros(len(rows), bool)
    if video in rows.videos:
        mine = (rows.video == rows.videos.index(video)) & (rows.score >= min_score)
    if not mine.any():
        raise ValueError(
            f"no person box of video {video!r} with a score of {min_score:g} or more; the file has {len(rows)} boxes of"
            f" {', '.join(rows.videos[:5]) or 'no video'}"
        )

    def persons(second: float, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        here = mine & (rows.second == second)
        return rows.boxes[here], rows.score[here]

    return sorted(set(rows.second[mine].tolist())), persons


def persons_detected(detector: PersonDetector, min_score: float) -> Persons:
    """Persons as a detector finds them.

    Raises:
        ValueError: it knows no class "person".
    """
    names = getattr(detector, "class_names", None)
    if names is None:
        raise ValueError(f"persons need a detector; got a {type(detector).__name__}")
    if "person" not in names:
        raise ValueError(f"the detector knows no class 'person', but {', '.join(names[:10])}")
    label = detector.class_names.index("person")

    def persons(second: float, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = detector.predict(frame, score_threshold=min_score)
        mine = (found.labels == label) & (found.scores >= min_score)
        height, width = frame.shape[:2]
        return found.boxes[mine].double().numpy() / [width, height, width, height], found.scores[mine].numpy()

    return persons
