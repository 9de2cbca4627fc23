"""Keyframes with the persons to classify, from annotations and person boxes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hiera_det.projects.ava.common_keyframes import why_none_in_common
from hiera_det.projects.ava.formats import Rows
from hiera_det.projects.ava.persons import log_left_out

__all__ = ["Keyframe", "keyframes_from"]

logger = logging.getLogger(__name__)

_BOX = ["x1", "y1", "x2", "y2"]


@dataclass(frozen=True)
class Keyframe:
    """A second of a video and the persons that it shows.

    Attributes:
        video: its id.
        second: in the annotations' time.
        boxes: (N, 4) float64 xyxy in [0, 1].
        labels: (N, K) float32, 1 for the actions of a person, else 0; columns in the order of the class ids.
        scores: (N,) float64 of the person detector, 1 for ground truth.
    """

    video: str
    second: float
    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray


def keyframes_from(
    ground_truth: Rows,
    person_boxes: Rows | None,
    label_map: Mapping[int, str],
    *,
    min_score: float,
    training: bool,
) -> list[Keyframe]:
    """Collect persons by keyframe; equal boxes of a keyframe are one person, with all the actions of their rows.

    In training the persons are those of the ground truth and, where ``person_boxes`` are given, these too. As in
    SlowFast such a box has the actions that its own file gives it: most files give none, and then it stands for a
    person that does none of them. At test the persons are those of ``person_boxes``, of the ground truth where there
    are none. Source: ``load_boxes_and_labels`` of SlowFast (``slowfast/datasets/ava_helper.py``).

    Args:
        ground_truth: annotations. Actions that the label map lacks are left out and counted in the log.
        person_boxes: of a person detector, with its scores.
        label_map: names by id. Column k of the labels stands for the k-th id, ascending.
        min_score: person boxes below it are left out, and counted in the log.
        training: whether to train on the keyframes.

    Returns:
        Keyframes with at least one person, by video in order of appearance, then by second; persons in order of
        appearance. At test the keyframes of the ground truth that are left without a person are counted in the log:
        their result is empty.

    Raises:
        ValueError: no person is left, or in training no action that the label map has.
    """
    frames = [_frame(ground_truth)] if training or person_boxes is None else []
    if person_boxes is not None:
        log_left_out(person_boxes.score, min_score, "DATASETS.MIN_BOX_SCORE")
        if apart := why_none_in_common(ground_truth, person_boxes, ("the ground truth", "the person boxes")):
            logger.warning("%s", apart)
        frames.append(_frame(person_boxes)[person_boxes.score >= min_score])
    rows = pd.concat(frames, ignore_index=True)
    if rows.empty:
        raise ValueError(f"no persons: {'no rows of ground truth' if person_boxes is None else _highest(person_boxes)}")
    video, names = pd.factorize(rows["video"])
    rows["video"] = video
    rows["person"] = rows.groupby(["video", "second", *_BOX], sort=False).ngroup()
    labels = _labels(rows, np.array(sorted(label_map)), training)  # (P, K)
    persons = rows.drop_duplicates("person").sort_values(["video", "second", "person"], kind="stable")
    starts = np.flatnonzero(persons[["video", "second"]].diff().ne(0).any(axis=1))
    boxes, scores = persons[_BOX].to_numpy(), persons["score"].to_numpy()
    labels = labels[persons["person"]]
    ends = [*starts[1:], len(boxes)]
    moments = zip(persons["video"].iloc[starts], persons["second"].iloc[starts], starts, ends, strict=True)
    keyframes = [Keyframe(names[v], s, boxes[a:b], labels[a:b], scores[a:b]) for v, s, a, b in moments]
    _log_counts(keyframes, len(boxes), ground_truth, training)
    return keyframes


def _frame(rows: Rows) -> pd.DataFrame:
    frame = pd.DataFrame(rows.boxes, columns=_BOX)
    videos = np.array(rows.videos, dtype=object)
    return frame.assign(video=videos[rows.video], second=rows.second, action=rows.action, score=rows.score)


def _highest(person_boxes: Rows) -> str:
    if not len(person_boxes):
        return "there are no person boxes"
    return f"the highest score of {len(person_boxes)} person boxes is {person_boxes.score.max():.3f}, below min_score"


def _labels(rows: pd.DataFrame, class_ids: np.ndarray, training: bool) -> np.ndarray:
    action = rows["action"].to_numpy()
    column = np.searchsorted(class_ids, action).clip(max=len(class_ids) - 1)
    known = class_ids[column] == action
    unknown = sorted(set(action[~known & (action >= 0)].tolist()))
    if unknown:
        logger.info("actions that the label map lacks, left out: %s", ", ".join(map(str, unknown)))
    if training and not known.any():
        raise ValueError(f"none of the actions in the annotations is in the label map, which has {class_ids.tolist()}")
    labels = np.zeros((rows["person"].max() + 1, len(class_ids)), np.float32)
    labels[rows["person"].to_numpy()[known], column[known]] = 1
    return labels


def _log_counts(keyframes: list[Keyframe], persons: int, ground_truth: Rows, training: bool) -> None:
    logger.info("%d keyframes with %d persons", len(keyframes), persons)
    if training:
        return
    annotated = {(ground_truth.videos[v], s) for v, s in zip(ground_truth.video, ground_truth.second, strict=True)}
    without = (annotated | ground_truth.empty) - {(keyframe.video, keyframe.second) for keyframe in keyframes}
    if without:
        logger.info("%d keyframes of the ground truth have no person box: their result is empty", len(without))
