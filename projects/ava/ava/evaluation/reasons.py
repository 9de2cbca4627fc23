"""Why an mAP is 0 or nearly so: what would match if boxes or action ids were written in another way."""

from __future__ import annotations

import numpy as np

from hiera_det.projects.ava.common_keyframes import why_none_in_common
from hiera_det.projects.ava.evaluation.keyframes import contains, unique_runs
from hiera_det.projects.ava.evaluation.matching import IOU_THRESHOLD, best_truth
from hiera_det.projects.ava.rows import Rows

__all__ = ["LOW", "reasons_of_low_ap"]

LOW = 0.25  # mAP below which reasons are looked for
_MOST = 20_000  # boxes looked at
_SHARE = 0.1  # of the boxes have to match in another way for that to be a reason, and twice as many as do now


def reasons_of_low_ap(truth: Rows, truth_keys: np.ndarray, found: Rows, found_keys: np.ndarray) -> list[str]:
    """Look for what two tables may have in different ways, and say how much would match otherwise.

    Args:
        truth: ground truth.
        truth_keys: (N,) keyframes of its rows.
        found: detections.
        found_keys: likewise.
    """
    if not len(truth) or not len(found):
        return []
    apart = why_none_in_common(truth, found, ("the ground truth", "the detections"))
    if apart:
        return [apart]
    rows = _best_rows(found, found_keys, contains(unique_runs(truth_keys), found_keys))
    keys, boxes = found_keys[rows], found.boxes[rows]
    matched = {name: _overlapping(keys, variant, truth_keys, truth.boxes) for name, variant in _variants(boxes).items()}
    counts = {name: int((wanted >= 0).sum()) for name, wanted in matched.items()}
    as_is = counts.pop("as they are")
    best = max(counts, key=lambda name: counts[name])
    texts = [f"{as_is} of {len(rows)} boxes of the detections overlap one of the ground truth by {IOU_THRESHOLD:g}"]
    if _is_reason(counts[best], as_is, len(rows)):
        return [f"{texts[0]}; {best}, {counts[best]} would"]
    if as_is:
        texts.append(_of_actions(truth, truth_keys, matched["as they are"], found.action[rows]))
    return texts


def _best_rows(found: Rows, keys: np.ndarray, there: np.ndarray) -> np.ndarray:
    """The row of highest score of each box on keyframes that are in both tables."""
    rows = np.flatnonzero(there)
    columns = (-found.score[rows], *found.boxes[rows].T, keys[rows])
    rows = rows[np.lexsort(columns)]
    same = (np.diff(found.boxes[rows], axis=0) == 0).all(axis=1) & (np.diff(keys[rows]) == 0)
    rows = rows[np.concatenate([[True], ~same])] if len(rows) else rows
    return rows[:: max(len(rows) // _MOST, 1)]


def _variants(boxes: np.ndarray) -> dict[str, np.ndarray]:
    """Boxes (N, 4) as they would be if they were written in another way."""
    a, b, c, d = boxes.T
    return {
        "as they are": boxes,
        "with x and y exchanged (y1, x1, y2, x2)": np.stack([b, a, d, c], axis=1),
        "taken as x1, x2, y1, y2": np.stack([a, c, b, d], axis=1),
        "taken as x1, y1, width, height": np.stack([a, b, a + c, b + d], axis=1),
        "taken as centre, width, height": np.stack([a - c / 2, b - d / 2, a + c / 2, b + d / 2], axis=1),
        "with y counted from below": np.stack([a, 1 - d, c, 1 - b], axis=1),
    }


def _overlapping(keys: np.ndarray, boxes: np.ndarray, truth_keys: np.ndarray, truth_boxes: np.ndarray) -> np.ndarray:
    """The row of the ground truth that each box overlaps enough, -1 where there is none: (N,)."""
    valid = np.flatnonzero((boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3]))
    wanted, overlap = best_truth(keys[valid], boxes[valid], truth_keys, truth_boxes)
    found = np.full(len(boxes), -1)
    found[valid] = np.where(overlap >= IOU_THRESHOLD, wanted, -1)
    return found


def _of_actions(truth: Rows, truth_keys: np.ndarray, wanted: np.ndarray, actions: np.ndarray) -> str:
    """How often the best action of a box is one of the person that it overlaps, also with ids one lower or higher."""
    table = np.column_stack([truth_keys, truth.boxes])
    person = np.unique(table, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
    span = int(max(truth.action.max(), actions.max())) + 3
    known = np.unique(person * span + truth.action)
    here = wanted >= 0
    right = {
        shift: int(np.isin(person[wanted[here]] * span + actions[here] + shift, known).sum()) for shift in (0, -1, 1)
    }
    best = max(right, key=lambda shift: right[shift])
    text = f"the best action of {right[0]} of these is right"
    if best and _is_reason(right[best], right[0], int(here.sum())):
        text += f"; with action ids one {'higher' if best > 0 else 'lower'}, {right[best]} would be"
    return text


def _is_reason(otherwise: int, now: int, total: int) -> bool:
    return otherwise > 2 * now and otherwise >= _SHARE * total
