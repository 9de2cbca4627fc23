"""A low mAP says why: seconds, videos, coordinates or ids that are written in another way."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pytest

from hiera_det.projects.ava.common_keyframes import why_none_in_common
from hiera_det.projects.ava.evaluation import PROTOCOLS, evaluate
from hiera_det.projects.ava.rows import Rows

LABEL_MAP = {number: f"action {number}" for number in range(1, 21)}


@pytest.fixture
def truth() -> Rows:
    """Two persons at each of 40 seconds from 902 on, in two videos; tall boxes off the diagonal."""
    rng = np.random.default_rng(0)
    count = 160
    corners = rng.uniform([0, 0.5], [0.1, 0.6], (count, 2)) + np.tile([[0, 0], [0.5, -0.4]], (count // 2, 1))
    return Rows(
        videos=["a", "b"],
        video=np.repeat([0, 1], count // 2).astype(np.int32),
        second=np.tile(np.repeat(902.0 + np.arange(40), 2), 2),
        boxes=np.concatenate([corners, corners + np.array([0.2, 0.35])], axis=1),
        action=rng.integers(2, 20, count).astype(np.int32),
        score=np.ones(count),
    )


def warnings(truth: Rows, detections: Rows, caplog, protocol: str = "slowfast") -> tuple[float, str]:
    caplog.clear()
    result = evaluate(truth, detections, LABEL_MAP, protocol)
    return result.mean_ap, "\n".join(r.getMessage() for r in caplog.records if r.levelno == logging.WARNING)


def test_perfect_detections_need_no_reason(truth, caplog):
    assert warnings(truth, truth, caplog) == (1.0, "")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("shift", [902, -902, 900])
def test_seconds_counted_from_elsewhere(truth, caplog, protocol, shift):
    ours = dataclasses.replace(truth, second=truth.second + 1000)
    theirs = dataclasses.replace(truth, second=truth.second + 1000 - shift)
    mean_ap, text = warnings(ours, theirs, caplog, protocol)
    assert mean_ap == 0
    assert f"seconds 1902 to 1941, the detections seconds {1902 - shift} to {1941 - shift}" in text
    assert f"with {shift:+d} s on the seconds of the detections, 80 of their 80 keyframes would meet" in text


def test_videos_with_an_ending(truth, caplog):
    mean_ap, text = warnings(truth, dataclasses.replace(truth, videos=["clips/a.mp4", "clips/b.mp4"]), caplog)
    assert mean_ap == 0
    assert "no video in common: a, b in the ground truth, clips/a.mp4, clips/b.mp4 in the detections" in text
    assert "without folders and endings 2 would be the same" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b[:, [1, 0, 3, 2]], "with x and y exchanged (y1, x1, y2, x2), 160 would"),
        (lambda b: b[:, [0, 2, 1, 3]], "taken as x1, x2, y1, y2, 160 would"),
        (lambda b: np.concatenate([b[:, :2], b[:, 2:] - b[:, :2]], 1), "taken as x1, y1, width, height, 160 would"),
        (
            lambda b: np.concatenate([(b[:, :2] + b[:, 2:]) / 2, b[:, 2:] - b[:, :2]], 1),
            "taken as centre, width, height, 160 would",
        ),
        (lambda b: np.stack([b[:, 0], 1 - b[:, 3], b[:, 2], 1 - b[:, 1]], 1), "with y counted from below, 160 would"),
    ],
    ids=["yxyx", "xxyy", "xywh", "cxcywh", "flipped"],
)
def test_coordinates_in_another_order(truth, caplog, change, message):
    mean_ap, text = warnings(truth, dataclasses.replace(truth, boxes=change(truth.boxes)), caplog)
    assert mean_ap < 0.05
    assert "of 160 boxes of the detections overlap one of the ground truth by 0.5" in text
    assert message in text


@pytest.mark.parametrize(("shift", "word"), [(1, "lower"), (-1, "higher")])
def test_action_ids_off_by_one(truth, caplog, shift, word):
    mean_ap, text = warnings(truth, dataclasses.replace(truth, action=truth.action + np.int32(shift)), caplog)
    assert mean_ap < 0.05
    assert "160 of 160 boxes of the detections overlap" in text
    assert f"with action ids one {word}, 160 would be" in text


def test_a_model_that_has_learnt_nothing_is_not_said_to_be_in_another_order(truth, caplog):
    rng = np.random.default_rng(1)
    count = len(truth) * len(LABEL_MAP)
    each = np.repeat(np.arange(len(truth)), len(LABEL_MAP))
    detections = Rows(
        truth.videos, truth.video[each], truth.second[each], truth.boxes[each],
        np.tile(np.array(list(LABEL_MAP), np.int32), len(truth)), rng.random(count),
    )  # fmt: skip
    _, text = warnings(truth, detections, caplog)
    assert "one lower" not in text and "one higher" not in text and "would" not in text


def test_empty_keyframes_are_keyframes(truth):
    empty = dataclasses.replace(truth, second=truth.second - 902, empty={("a", 930.0)})
    assert why_none_in_common(truth, empty, ("x", "y")) is None
    assert "x and y have no keyframe in common" in str(
        why_none_in_common(truth, dataclasses.replace(empty, empty=set()), ("x", "y"))
    )


def test_actions_of_one_name_are_kept_apart(truth):
    result = evaluate(truth, truth, {2: "walk", 3: "run", 4: "walk", 99: "walk"})
    assert list(result.ap) == ["walk (id 2)", "run", "walk (id 4)", "walk (id 99)"]
    assert [result.ap[name] for name in ("walk (id 2)", "run", "walk (id 4)")] == [1.0, 1.0, 1.0]
    assert np.isnan(result.ap["walk (id 99)"])


def test_exclusions_of_other_keyframes_are_said(truth, caplog):
    evaluate(truth, truth, LABEL_MAP, exclusions={("a", 2.0), ("c", 902.0)})
    assert "none of the 2 excluded keyframes is in the ground truth or the detections" in caplog.text
