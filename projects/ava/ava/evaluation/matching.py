"""Detections to ground truth within keyframes, for one action at a time."""

from __future__ import annotations

import numpy as np

__all__ = ["IOU_THRESHOLD", "best_truth", "match", "top_per_keyframe"]

IOU_THRESHOLD = 0.5


def match(
    keys: np.ndarray, boxes: np.ndarray, order: np.ndarray, truth_keys: np.ndarray, truth_boxes: np.ndarray
) -> np.ndarray:
    """Which detections of one action are true positives.

    A detection asks for the ground truth of its keyframe with the largest IoU, the first in file order where IoUs are
    equal, and gets it if the IoU is 0.5 or more and no detection before it in ``order`` has it. There is no second
    choice.

    Args:
        keys: (N,) keyframes of the detections.
        boxes: (N, 4) x1, y1, x2, y2 with an area.
        order: (N,) the detections in the order in which they are served.
        truth_keys: (M,) keyframes of the ground truth, in file order.
        truth_boxes: (M, 4).

    Returns:
        (N,) bool.
    """
    wanted, overlap = best_truth(keys, boxes, truth_keys, truth_boxes)
    serving = order[overlap[order] >= IOU_THRESHOLD]
    _, first = np.unique(wanted[serving], return_index=True)
    true_positive = np.zeros(len(keys), dtype=bool)
    true_positive[serving[first]] = True
    return true_positive


def best_truth(
    keys: np.ndarray, boxes: np.ndarray, truth_keys: np.ndarray, truth_boxes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The ground truth with the largest IoU in the keyframe of each detection: its place (N,), that IoU (N,).

    Where there is none, the IoU is -1.
    """
    by_key = np.argsort(truth_keys, kind="stable")
    start = np.searchsorted(truth_keys, keys, side="left", sorter=by_key)
    count = np.searchsorted(truth_keys, keys, side="right", sorter=by_key) - start
    wanted = np.zeros(len(keys), dtype=np.int64)
    overlap = np.full(len(keys), -1.0)
    for nth in range(int(count.max(initial=0))):
        rows = np.flatnonzero(count > nth)
        truth = by_key[start[rows] + nth]
        iou = _paired_iou(boxes[rows], truth_boxes[truth])
        better = iou > overlap[rows]
        wanted[rows[better]] = truth[better]
        overlap[rows[better]] = iou[better]
    return wanted, overlap


def _paired_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU of ``a[i]`` with ``b[i]``: (N, 4) boxes, one of each pair with an area, to (N,)."""
    width = np.minimum(a[:, 2], b[:, 2]) - np.maximum(a[:, 0], b[:, 0])
    height = np.minimum(a[:, 3], b[:, 3]) - np.maximum(a[:, 1], b[:, 1])
    intersection = np.maximum(width, 0) * np.maximum(height, 0)
    return intersection / (_area(a) + _area(b) - intersection)


def _area(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def top_per_keyframe(keys: np.ndarray, scores: np.ndarray, cap: int) -> np.ndarray:
    """Which rows are among the ``cap`` of highest score in their keyframe, the first of equal scores: (N,) bool."""
    order = np.lexsort((-scores, keys))
    starts = np.flatnonzero(np.diff(keys[order], prepend=keys[order[:1]] - 1))
    place = np.arange(len(keys)) - np.repeat(starts, np.diff(starts, append=len(keys)))  # within the keyframe
    kept = np.zeros(len(keys), dtype=bool)
    kept[order[place < cap]] = True
    return kept
