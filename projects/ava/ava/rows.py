"""Rows of AVA's tables: persons' boxes with actions and scores, by video and second."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

__all__ = ["MAX_ACTION", "NO_ACTION", "TOLERANCE", "Rows", "box_problem", "clipped", "keyframe_problem"]

logger = logging.getLogger(__name__)

TOLERANCE = 0.05  # how far a coordinate may be beyond [0, 1]: annotation tools let boxes reach out of the frame
NO_ACTION = -1
MAX_ACTION = 2**31 - 1  # ids are kept as 32-bit integers


@dataclass(frozen=True)
class Rows:
    """Rows of an AVA table, in file order.

    Attributes:
        videos: distinct video ids in order of appearance.
        video: (N,) int32 index into ``videos``.
        second: (N,) float64.
        boxes: (N, 4) float64 x1, y1, x2, y2 in [0, 1].
        action: (N,) int32, -1 where the column is empty.
        score: (N,) float64, 1.0 where there is none.
        empty: keyframes (video id, second) that a row of two columns names: nothing is there.
    """

    videos: list[str]
    video: np.ndarray
    second: np.ndarray
    boxes: np.ndarray
    action: np.ndarray
    score: np.ndarray
    empty: set[tuple[str, float]] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.video)


def keyframe_problem(fields: Sequence[str]) -> str | None:
    """What is wrong with a video id and a second as text, if anything."""
    if not fields[0]:
        return "the video id is empty"
    if "\ufeff" in fields[0]:
        return "the video id has a byte order mark in it: files were joined; take it out"
    try:
        second = float(fields[1])
    except ValueError:
        return f"second {fields[1]!r} is not a number"
    return None if 0 <= second < math.inf else f"second {fields[1]}, expected a finite number from 0"


def box_problem(box: Sequence[float], score: float) -> str | None:
    """What is wrong with a box x1, y1, x2, y2 and its score, if anything."""
    if not all(-TOLERANCE <= value <= 1 + TOLERANCE for value in box):
        pixels = "; these look like pixels: divide by width and height" if max(box) >= 2 else ""
        return f"box {list(box)} is outside [0, 1]; expected x1, y1, x2, y2 as fractions of the frame{pixels}"
    return None if math.isfinite(score) else f"score {score} is not finite"


def clipped(rows: Rows, source: str) -> Rows:
    """Clip boxes to the frame, in place; those that reach beyond it are counted in the log."""
    lowest, highest = float(rows.boxes.min(initial=0)), float(rows.boxes.max(initial=1))
    if lowest < 0 or highest > 1:
        outside = int(((rows.boxes < 0) | (rows.boxes > 1)).any(axis=1).sum())
        logger.warning(
            "%s: %d boxes reach beyond the frame, by up to %.2g of its side (%d in all); clipped",
            source, outside, max(-lowest, highest - 1), len(rows),
        )  # fmt: skip
        np.clip(rows.boxes, 0, 1, out=rows.boxes)
    return rows
