"""Persons of a file: whose video they are of, and how many a threshold leaves out."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from hiera_det.projects.ava.data.keyframes import keyframes_from
from hiera_det.projects.ava.persons import check_min_score, persons_of
from hiera_det.projects.ava.rows import Rows


def rows(videos: list[str], scores: list[float], second: float = 2.0) -> Rows:
    """One box of each score in each of the videos."""
    count = len(videos) * len(scores)
    return Rows(
        videos=videos,
        video=np.repeat(np.arange(len(videos), dtype=np.int32), len(scores)),
        second=second + np.tile(np.arange(len(scores), dtype=float), len(videos)),
        boxes=np.tile([0.1, 0.1, 0.5, 0.9], (count, 1)),
        action=np.full(count, 1, np.int32),
        score=np.tile(scores, len(videos)),
    )


@pytest.mark.parametrize(
    ("ids", "path", "taken"),
    [
        (["b"], "x/a/b.mp4", "b"),
        (["b", "a/b", "c/b"], "x/a/b.mp4", "a/b"),
        (["b.mp4", "a"], "x/a/b.mp4", "b.mp4"),
        (["a/b.mp4"], "x/a/b.mp4", "a/b.mp4"),
        (["b.x"], "b.x.mp4", "b.x"),
    ],
)
def test_a_video_is_known_by_its_name_with_or_without_folders_and_ending(ids, path, taken):
    seconds, _ = persons_of(rows(ids, [0.9, 0.95]), Path(path), 0.8)
    assert seconds == [2.0, 3.0]
    table = rows(ids, [0.9, 0.95])
    table.score[table.video != ids.index(taken)] = 0.1
    assert persons_of(table, Path(path), 0.8)[0] == [2.0, 3.0]


def test_a_video_without_boxes_is_an_error():
    with pytest.raises(ValueError, match=r"no person box of video 'b' .* the file has 2 boxes of c/b, d"):
        persons_of(rows(["c/b", "d"], [0.9]), Path("a/b.mp4"), 0.8)


def test_boxes_below_the_threshold_are_counted(caplog):
    caplog.set_level(logging.INFO)
    persons_of(rows(["a", "b"], [0.55, 0.6, 0.9, 0.75, 0.1]), "a", 0.8)
    text = "--min-person-score 0.8 leaves out 4 of 5 person boxes, 3 of the 4 with a score of 0.5 or more"
    assert [(record.levelname, text in record.getMessage()) for record in caplog.records] == [("WARNING", True)]
    caplog.clear()
    persons_of(rows(["a"], [0.9, 0.95, 0.1]), "a", 0.8)
    assert [record.levelname for record in caplog.records] == ["INFO"]
    caplog.clear()
    persons_of(rows(["a"], [0.9, 0.8]), "a", 0.8)
    assert not caplog.records


@pytest.mark.parametrize("training", [True, False])
def test_training_and_evaluation_count_them_too(caplog, training):
    caplog.set_level(logging.INFO)
    truth, boxes = rows(["a"], [1.0, 1.0]), rows(["a"], [0.9, 0.6])
    keyframes_from(truth, boxes, {1: "walk"}, min_score=0.8, training=training)
    assert "DATASETS.MIN_BOX_SCORE 0.8 leaves out 1 of 2 person boxes" in caplog.text
    assert "no keyframe in common" not in caplog.text


@pytest.mark.parametrize("training", [True, False])
def test_person_boxes_of_other_keyframes_are_said_before_anything_is_read(caplog, training):
    truth, boxes = rows(["a"], [1.0, 1.0], second=904.0), rows(["a"], [0.9, 0.9])
    keyframes_from(truth, boxes, {1: "walk"}, min_score=0.8, training=training)
    assert "with +902 s on the seconds of the person boxes, 2 of their 2 keyframes would meet" in caplog.text


@pytest.mark.parametrize("value", [-0.1, 1.01, float("nan"), 80])
def test_a_threshold_is_a_score(value):
    with pytest.raises(ValueError, match=r"X is .*, expected a score from 0 to 1"):
        check_min_score(value, "X")
