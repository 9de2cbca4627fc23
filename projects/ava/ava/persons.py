"""Who is in a video: persons of a file of boxes, or of a detector."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hiera_det.projects.ava.formats import Rows

__all__ = [
    "DetectedPersons",
    "PersonDetector",
    "Persons",
    "check_min_score",
    "log_left_out",
    "persons_detected",
    "persons_of",
]

logger = logging.getLogger(__name__)

CLEAR = 0.5  # persons of this score or more are seldom something else

Persons = Callable[[float, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From a second and its frame (H, W, 3) RGB to boxes (N, 4) in [0, 1] and their scores (N,)."""


class PersonDetector(Protocol):
    """A detector such as ``hiera_det.load`` gives."""

    class_names: list[str]

    def predict(self, source: Any, *, score_threshold: float) -> Any:
        """Give ``boxes`` (N, 4) in pixels, ``scores`` and ``labels`` (N,) of a frame (H, W, 3)."""


def check_min_score(value: float, name: str) -> None:
    """See that a threshold of scores is one.

    Raises:
        ValueError: it is not from 0 to 1.
    """
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is {value:g}, expected a score from 0 to 1")


def log_left_out(scores: np.ndarray, min_score: float, name: str) -> None:
    """Say how many person boxes a threshold leaves out; a warning where most of the clear ones are among them.

    Args:
        scores: (N,) of all person boxes.
        min_score: those below it are left out.
        name: of the threshold.
    """
    below = int((scores < min_score).sum())
    if below:
        clear = int((scores >= CLEAR).sum())
        lost = int(((scores >= CLEAR) & (scores < min_score)).sum())
        level = logging.WARNING if 2 * lost > clear else logging.INFO
        logger.log(
            level,
            "%s %g leaves out %d of %d person boxes, %d of the %d with a score of %g or more%s",
            name, min_score, below, len(scores), lost, clear, CLEAR,
            ": 0.8 suits SlowFast's boxes, other detectors may need less" if level == logging.WARNING else "",
        )  # fmt: skip


def persons_of(rows: Rows, video: str | Path, min_score: float) -> tuple[list[float], Persons]:
    """Persons as a file of boxes has them: its seconds of a video, and what gives their boxes.

    Args:
        rows: the file's.
        video: its id, or the file: its id is its name without the ending, or with it, or with folders before it.
        min_score: boxes below it are left out, and counted in the log.

    Raises:
        ValueError: the file has no box of this video of that score or more.
    """
    name = video if isinstance(video, str) else _id_of(video, rows.videos)
    of_video = np.zeros(len(rows), bool)
    if name in rows.videos:
        of_video = rows.video == rows.videos.index(name)
    log_left_out(rows.score[of_video], min_score, "--min-person-score")
    mine = of_video & (rows.score >= min_score)
    if not mine.any():
        raise ValueError(
            f"no person box of video {name!r} with a score of {min_score:g} or more; the file has {len(rows)} boxes of"
            f" {', '.join(rows.videos[:5]) or 'no video'}"
        )

    def persons(second: float, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        here = mine & (rows.second == second)
        return rows.boxes[here], rows.score[here]

    return sorted(set(rows.second[mine].tolist())), persons


def _id_of(video: Path, ids: Sequence[str]) -> str:
    """The id among ``ids`` that has most of a file's path in it; else the file's name without its ending."""
    known, found = set(ids), video.stem
    parts = video.resolve().parts
    for start in range(len(parts) - 1, 0, -1):
        path = Path(*parts[start:])
        found = next((name for name in (path.with_suffix("").as_posix(), path.as_posix()) if name in known), found)
    return found


class DetectedPersons:
    """Persons as a detector finds them, called as :data:`Persons`; counts those that the threshold leaves out."""

    def __init__(self, detector: PersonDetector, label: int, min_score: float) -> None:
        self._detector, self._label, self._min_score = detector, label, min_score
        self._scores: list[np.ndarray] = []

    def __call__(self, second: float, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (N, 4) in [0, 1] and scores (N,) of a frame (H, W, 3) RGB."""
        found = self._detector.predict(frame, score_threshold=min(self._min_score, CLEAR))
        scores = found.scores[found.labels == self._label]
        boxes = found.boxes[found.labels == self._label][scores >= self._min_score]
        self._scores.append(scores.numpy())
        height, width = frame.shape[:2]
        return boxes.double().numpy() / [width, height, width, height], scores[scores >= self._min_score].numpy()

    def log_left_out(self) -> None:
        """Say how many of all frames' persons were left out."""
        log_left_out(np.concatenate([np.zeros(0), *self._scores]), self._min_score, "--min-person-score")


def persons_detected(detector: PersonDetector, min_score: float) -> DetectedPersons:
    """Persons as a detector finds them.

    Raises:
        ValueError: it knows no class "person".
    """
    names = getattr(detector, "class_names", None)
    if names is None:
        raise ValueError(f"persons need a detector; got a {type(detector).__name__}")
    if "person" not in names:
        raise ValueError(f"the detector knows no class 'person', but {', '.join(names[:10])}")
    return DetectedPersons(detector, detector.class_names.index("person"), min_score)
