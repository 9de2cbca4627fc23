"""What a model found, as the rows of AVA's results file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hiera_det.projects.ava.data.dataset import AvaDataset
from hiera_det.projects.ava.formats import Rows

__all__ = ["to_rows"]


def to_rows(
    dataset: AvaDataset,
    found: Mapping[int, tuple[np.ndarray, np.ndarray]],
    class_ids: Sequence[int],
    times_person_score: bool,
) -> Rows:
    """Make detections of probabilities: a row for each person and action, keyframes in the dataset's order.

    Args:
        dataset: the keyframes.
        found: by index the persons that are left (M,) of the keyframe's, and their probabilities (M, K).
        class_ids: of the K columns.
        times_person_score: multiply by the person's own score.
    """
    keyframes = {index: dataset.keyframe(index) for index in sorted(found)}
    videos = list(dict.fromkeys(keyframe.video for keyframe in keyframes.values()))
    number = {name: i for i, name in enumerate(videos)}
    parts: list[tuple[np.ndarray, ...]] = []
    for index, keyframe in keyframes.items():
        kept, probabilities = found[index]
        scores = probabilities * keyframe.scores[kept, None] if times_person_score else probabilities  # (M, K)
        count = scores.size
        parts.append(
            (
                np.full(count, number[keyframe.video], np.int32),
                np.full(count, keyframe.second),
                np.repeat(keyframe.boxes[kept], len(class_ids), axis=0),
                np.tile(np.array(class_ids, np.int32), len(kept)),
                scores.reshape(-1).astype(np.float64),
            )
        )
    if not parts:
        nothing = np.zeros(0)
        return Rows([], nothing.astype(np.int32), nothing, np.zeros((0, 4)), nothing.astype(np.int32), nothing)
    video, second, boxes, action, score = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Rows(videos, video, second, boxes, action, score)
