"""Person boxes as mmaction2 has them: a pickle of arrays by keyframe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hiera_det.projects.ava.rows import NO_ACTION, Rows, box_problem, clipped, keyframe_problem
from hiera_det.utils.nested import shown
from hiera_det.utils.one_line import one_line
from hiera_det.utils.problems import Problems
from hiera_det.weights.pickles import load_data_pickle

__all__ = ["PICKLES", "read_pickled_boxes"]

PICKLES = (".pkl", ".pickle")


def read_pickled_boxes(path: str | Path) -> Rows:
    """Read ``{"video,0902": (N, 5) array of x1, y1, x2, y2, score}``, checked as the rows of a table are.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds something else, boxes too far outside [0, 1], numbers that are not finite, or one keyframe
            under two keys; the first ten keys are named, and all counted.
    """
    table = load_data_pickle(path)
    if not isinstance(table, dict):
        raise ValueError(f'{path} holds a {type(table).__name__}, expected {{"video,0902": (N, 5) array, …}}')
    problems = Problems(path)
    parts: dict[tuple[str, float], np.ndarray] = {}
    for key, boxes in table.items():
        video, _, second = (text.strip() for text in str(key).rpartition(","))
        problem = keyframe_problem((video, second)) if "," in str(key) else "expected a key video,second"
        if not problem and (video, float(second)) in parts:
            problem = "the keyframe has a key before, in another spelling"
        problem = problem or _array_problem(boxes)
        if problem:
            problems.add(f"key {shown(key)}", problem)
            continue
        parts[video, float(second)] = part = boxes.astype(np.float64).reshape(-1, 5)
        for row in part.tolist():
            if problem := box_problem(row[:4], row[4]):
                problems.add(f"keyframe {one_line(video)},{float(second):g}", problem)
    problems.raise_any()
    return clipped(_join(parts), str(path))


def _array_problem(boxes: Any) -> str | None:
    if isinstance(boxes, np.ndarray) and boxes.dtype.kind in "fiu" and (boxes.shape[1:] == (5,) or not boxes.size):
        return None
    shape = getattr(boxes, "shape", type(boxes).__name__)
    return f"{shape}, expected an (N, 5) array of x1, y1, x2, y2, score"


def _join(parts: dict[tuple[str, float], np.ndarray]) -> Rows:
    """Boxes (N, 5) by (video id, second) as rows."""
    index = {video: i for i, video in enumerate(dict.fromkeys(video for video, _ in parts))}
    counts = [len(part) for part in parts.values()]
    table = np.concatenate([np.empty((0, 5)), *parts.values()])  # (N, 5)
    return Rows(
        videos=list(index),
        video=np.repeat(np.array([index[video] for video, _ in parts], dtype=np.int32), counts),
        second=np.repeat(np.array([second for _, second in parts], dtype=np.float64), counts),
        boxes=np.ascontiguousarray(table[:, :4]),
        action=np.full(len(table), NO_ACTION, dtype=np.int32),
        score=table[:, 4].copy(),
        empty={keyframe for keyframe, part in parts.items() if not len(part)},
    )
