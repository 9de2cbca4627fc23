from __future__ import annotations

import logging
import multiprocessing

import numpy as np
import pytest
import torch

from hiera_det.projects.ava.data.dataset import AvaDataset, BrokenClip, Keyframe, keyframes_from
from hiera_det.projects.ava.data.transforms import TestTransform, TrainTransform
from hiera_det.projects.ava.formats import read_ground_truth, read_person_boxes

LABEL_MAP = {2: "sit", 5: "run", 80: "watch"}

TRUTH = """\
b,0903,0.1,0.1,0.4,0.9,5,0
a,0903,0.1,0.2,0.5,0.8,5,0
a,0903,0.6,0.2,0.9,0.8,2,1
a,0903,0.1,0.2,0.5,0.8,80,0
a,0902,0.1,0.2,0.5,0.8,2,0
a,0903,0.1,0.2,0.5,0.8,7,0
"""
PERSONS = """\
a,0903,0.12,0.2,0.5,0.8,,0.95
a,0903,0.6,0.2,0.9,0.8,,0.79
a,0904,0.6,0.2,0.9,0.8,,0.80
"""


@pytest.fixture
def truth(tmp_path):
    (tmp_path / "truth.csv").write_text(TRUTH)
    return read_ground_truth(tmp_path / "truth.csv")


@pytest.fixture
def persons(tmp_path):
    (tmp_path / "persons.csv").write_text(PERSONS)
    return read_person_boxes(tmp_path / "persons.csv")


def _moments(keyframes):
    return [(keyframe.video, keyframe.second) for keyframe in keyframes]


def test_equal_boxes_are_one_person_with_all_their_actions(truth, caplog):
    with caplog.at_level(logging.INFO):
        keyframes = keyframes_from(truth, None, LABEL_MAP, min_score=0.8, training=True)
    assert _moments(keyframes) == [("b", 903), ("a", 902), ("a", 903)]
    assert keyframes[2].boxes.tolist() == [[0.1, 0.2, 0.5, 0.8], [0.6, 0.2, 0.9, 0.8]]
    assert keyframes[2].labels.tolist() == [[0, 1, 1], [1, 0, 0]]  # columns: ids 2, 5, 80
    assert keyframes[2].labels.dtype == np.float32
    assert keyframes[2].scores.tolist() == [1, 1]
    assert keyframes[0].labels.tolist() == [[0, 1, 0]]
    assert "label map lacks, left out: 7" in caplog.text
    assert "3 keyframes with 4 persons" in caplog.text


def test_person_boxes_at_test(truth, persons, caplog):
    with caplog.at_level(logging.INFO):
        keyframes = keyframes_from(truth, persons, LABEL_MAP, min_score=0.8, training=False)
    assert _moments(keyframes) == [("a", 903), ("a", 904)]
    assert keyframes[0].boxes.tolist() == [[0.12, 0.2, 0.5, 0.8]]
    assert keyframes[0].scores.tolist() == [0.95]
    assert keyframes[1].scores.tolist() == [0.8]  # the threshold itself is enough
    assert keyframes[0].labels.tolist() == [[0, 0, 0]]
    assert "2 keyframes of the ground truth have no person box" in caplog.text  # a 902, b 903


def test_ground_truth_boxes_at_test(truth):
    keyframes = keyframes_from(truth, None, LABEL_MAP, min_score=0.8, training=False)
    assert [len(keyframe.boxes) for keyframe in keyframes] == [1, 1, 2]


def test_person_boxes_in_training_come_without_actions(truth, persons):
    keyframes = keyframes_from(truth, persons, LABEL_MAP, min_score=0.7, training=True)
    assert _moments(keyframes) == [("b", 903), ("a", 902), ("a", 903), ("a", 904)]
    assert keyframes[2].boxes.tolist() == [[0.1, 0.2, 0.5, 0.8], [0.6, 0.2, 0.9, 0.8], [0.12, 0.2, 0.5, 0.8]]
    assert keyframes[2].labels.tolist() == [[0, 1, 1], [1, 0, 0], [0, 0, 0]]  # the second stands in both files


def test_person_boxes_in_training_keep_actions_that_their_file_gives(truth, tmp_path):
    (tmp_path / "labelled.csv").write_text("a,0903,0.11,0.2,0.5,0.8,5,0.95\na,0903,0.11,0.2,0.5,0.8,80,0.95\n")
    persons = read_person_boxes(tmp_path / "labelled.csv")
    keyframes = keyframes_from(truth, persons, LABEL_MAP, min_score=0.7, training=True)
    assert keyframes[2].labels[-1].tolist() == [0, 1, 1]


def test_no_persons(truth, persons):
    with pytest.raises(ValueError, match=r"highest score of 3 person boxes is 0\.950, below min_score"):
        keyframes_from(truth, persons, LABEL_MAP, min_score=0.99, training=False)


def test_no_known_action(truth):
    with pytest.raises(ValueError, match=r"none of the actions .* label map, which has \[1, 3\]"):
        keyframes_from(truth, None, {1: "a", 3: "b"}, min_score=0.8, training=True)


class Source:
    """Clips of one grey per second; the seconds in ``broken`` cannot be read."""

    def __init__(self, broken=()):
        self.videos = {"a": None, "b": None}
        self.broken = broken

    def read(self, video, second, num_frames, rate):
        if second in self.broken:
            raise OSError("frame x.jpg is missing")
        frames = np.full((num_frames, 60, 80, 3), int(second) % 256, np.uint8)
        frames[:, :, 40:] = rate
        return frames


def _dataset(count=6, broken=(), transform=None):
    boxes = np.array([[0.0, 0.1, 0.2, 0.9], [0.8, 0.1, 1.0, 0.9]])
    labels = np.eye(2, dtype=np.float32)
    keyframes = [Keyframe("ab"[i % 2], float(i), boxes, labels, np.ones(2)) for i in range(count)]
    keyframes.append(Keyframe("a", 100.0, np.zeros((0, 4)), np.zeros((0, 2), np.float32), np.zeros(0)))
    return AvaDataset(keyframes, Source(broken), transform or TestTransform(60), 4, 2)


def test_an_item():
    item = _dataset()[3]
    assert item["clip"].shape == (3, 4, 60, 80)
    assert item["clip"][:, :, 0, 0].unique().tolist() == [3]
    assert item["clip"][:, :, 0, 79].unique().tolist() == [2]  # the rate
    np.testing.assert_allclose(item["boxes"], [[0, 6, 16, 54], [64, 6, 80, 54]], rtol=1e-6)
    assert item["labels"].tolist() == [[1, 0], [0, 1]]
    assert item["labels"].dtype == torch.float32
    assert (item["kept"].tolist(), item["index"]) == ([0, 1], 3)


def test_a_keyframe_without_boxes_has_an_empty_item():
    item = _dataset()[6]
    assert item["boxes"].shape == (0, 4)
    assert item["labels"].shape == (0, 2)


def test_keyframes_are_given_back_as_they_came():
    dataset = _dataset()
    assert len(dataset) == 7
    keyframe = dataset.keyframe(3)
    assert (keyframe.video, keyframe.second) == ("b", 3.0)
    assert keyframe.boxes.tolist() == [[0.0, 0.1, 0.2, 0.9], [0.8, 0.1, 1.0, 0.9]]
    assert keyframe.labels.tolist() == [[1, 0], [0, 1]]
    with pytest.raises(IndexError, match="index 7"):
        dataset[7]


def test_dropped_boxes_take_their_labels_with_them():
    # A square crop of a picture of 4:3 loses one of the two persons at its sides in most draws.
    dataset = _dataset(transform=TrainTransform((60, 60), 60, flip=False))
    left = set()
    for draw in range(30):
        item = dataset[(0, draw)]
        assert item["labels"].tolist() == torch.eye(2)[item["kept"]].tolist()
        assert len(item["boxes"]) == len(item["kept"])
        left.add(tuple(item["kept"].tolist()))
    assert {(0,), (1,)} <= left


def test_the_draw_alone_decides():
    dataset = _dataset(transform=TrainTransform((60, 90), 60))
    torch.manual_seed(1)
    first = dataset[(2, 17)]
    state = torch.get_rng_state()
    torch.manual_seed(2)
    again = dataset[(2, 17)]
    assert torch.equal(first["clip"], again["clip"]) and torch.equal(first["boxes"], again["boxes"])
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)  # nothing drawn from the generator outside
    others = [dataset[(2, draw)]["boxes"] for draw in range(5)]
    assert any(box.shape != first["boxes"].shape or not torch.equal(box, first["boxes"]) for box in others)


def test_a_broken_clip_in_evaluation_is_named():
    with pytest.raises(BrokenClip, match=r"clip of video b at second 3: frame x\.jpg is missing"):
        _dataset(broken={3.0})[3]


def test_a_broken_clip_keeps_its_name_out_of_a_worker():
    context = multiprocessing.get_context("fork")
    loader = torch.utils.data.DataLoader(
        _dataset(broken={1.0}), batch_size=None, num_workers=1, multiprocessing_context=context
    )
    batches = iter(loader)
    assert next(batches)["index"] == 0
    with pytest.raises(BrokenClip, match="video b at second 1: frame"):
        next(batches)
    assert next(batches)["index"] == 2  # and the rest can still be had


def test_a_broken_clip_in_training_is_replaced_by_draw(caplog):
    dataset = _dataset(broken={3.0})
    items = [dataset[(3, draw)]["index"] for draw in range(20)]
    assert items == [dataset[(3, draw)]["index"] for draw in range(20)]
    assert 3 not in items and len(set(items)) > 2
    assert "clip of video b at second 3: frame x.jpg is missing; taking another clip" in caplog.text
    assert dataset[(2, 5)]["index"] == 2


def test_nothing_can_be_read_in_training():
    dataset = _dataset(broken={*map(float, range(6)), 100.0})
    with pytest.raises(BrokenClip, match="20 clips in a row cannot be read; the last"):
        dataset[(0, 0)]


def test_videos_that_are_not_there():
    keyframe = Keyframe("gone", 1.0, np.zeros((1, 4)), np.zeros((1, 2), np.float32), np.ones(1))
    with pytest.raises(ValueError, match="1 of 1 videos are not there, among them gone"):
        AvaDataset([keyframe], Source(), TestTransform(60), 4, 2)
    with pytest.raises(ValueError, match="without keyframes"):
        AvaDataset([], Source(), TestTransform(60), 4, 2)
