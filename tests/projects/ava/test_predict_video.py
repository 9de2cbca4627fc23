"""Prediction on a video: persons from a file and from a detector, the files that come out."""

from __future__ import annotations

import csv
import json
from fractions import Fraction
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest
import torch

from hiera_det.cli import predict
from hiera_det.data.video import read_frames
from hiera_det.projects.ava import predict_files
from hiera_det.projects.ava.data.videos import VideoFiles
from hiera_det.projects.ava.formats import read_detections, read_person_boxes
from hiera_det.projects.ava.persons import persons_detected
from hiera_det.projects.ava.predictor import ActionPredictor
from tests.data.video.generated import Case, damage, truth_of, write_case

ACTIONS = {"stand", "crouch", "walk left", "walk right", "jump", "wave"}


@pytest.fixture
def arguments(trained, root, tmp_path):
    """For a video of the mini-set, with a file of its persons in the video's own time."""
    video = read_person_boxes(root / "annotations" / "val_person_boxes.csv").videos[0]
    boxes = tmp_path / "boxes.csv"
    boxes.write_text(
        f"{video},1,0.1,0.2,0.4,0.9,,0.95\n{video},2.5,0.5,0.1,0.9,0.8,,0.9\n{video},2.5,0,0,0.2,0.2,,0.1\n"
    )
    weights = ["--config", str(trained.folder / "config.yaml"), "--weights", str(trained.folder / "model_final.pth")]
    return video, [*weights, "--video", str(root / "videos" / f"{video}.mp4")], ["--boxes", str(boxes)]


def test_persons_from_a_file(arguments, tmp_path, trained, root):
    video, words, boxes = arguments
    predict.main([*words, *boxes, "--output", str(tmp_path / "out"), "--min-score", "0.0"])
    rows = read_detections(tmp_path / "out" / f"{video}.csv")
    assert len(rows) == 2 * 6  # the third box scores too little
    assert sorted(set(rows.second.tolist())) == [1.0, 2.5]
    np.testing.assert_allclose(rows.boxes[0], [0.1, 0.2, 0.4, 0.9])
    entries = json.loads((tmp_path / "out" / f"{video}.json").read_text())
    assert [entry["second"] for entry in entries] == [1.0, 2.5]
    actions = entries[0]["persons"][0]["actions"]
    assert set(actions) == ACTIONS
    assert list(actions.values()) == sorted(actions.values(), reverse=True)
    assert list(actions.values()) == pytest.approx(sorted(rows.score[:6], reverse=True), abs=1e-6)


def test_the_video_has_boxes_drawn_near_their_second_alone(arguments, tmp_path, root):
    video, words, boxes = arguments
    predict.main([*words, *boxes, "--output", str(tmp_path / "out")])
    source = VideoFiles({"before": root / "videos" / f"{video}.mp4", "after": tmp_path / "out" / f"{video}.mp4"})
    changed = []
    for second in (0.2, 1.0, 1.7, 2.5, 3.3):
        before, after = (source.read(name, second, 2, 1)[1].astype(int) for name in ("before", "after"))
        assert before.shape == after.shape
        changed.append(np.abs(before - after).max(axis=2))
    assert [difference.max() > 120 for difference in changed] == [False, True, False, True, False]
    height, width = changed[1].shape
    left_edge = changed[1][int(0.5 * height) : int(0.8 * height), int(0.1 * width) - 1 : int(0.1 * width) + 2]
    assert left_edge.max(axis=1).min() > 30


class Detector:
    """Stands for a detector: two clear persons and one less so on every other frame, none on others."""

    class_names = ("dog", "person")

    def __init__(self, *_, **__):
        self.seen = 0

    def predict(self, frame, *, score_threshold):
        assert frame.shape == (64, 64, 3) and frame.dtype == np.uint8 and score_threshold == 0.5
        self.seen += 1
        boxes = torch.tensor([[12.8, 12.8, 51.2, 51.2]] * 4)
        scores, labels = torch.tensor([0.9, 0.95, 0.9, 0.7]), torch.tensor([1, 0, 1, 1])
        count = 4 * ((self.seen - 1) % 2)
        return SimpleNamespace(boxes=boxes[:count], scores=scores[:count], labels=labels[:count])


def test_every_second_with_a_detector(arguments, tmp_path, monkeypatch, caplog):
    video, words, _ = arguments
    monkeypatch.setattr(predict, "load", Detector)
    with caplog.at_level("INFO", "hiera_det"):
        predict.main([*words, "--detector-weights", "w.pth", "--output", str(tmp_path / "out")])
    assert "--min-person-score 0.8 leaves out 2 of 6 person boxes" in caplog.text
    entries = json.loads((tmp_path / "out" / f"{video}.json").read_text())
    assert [(entry["second"], len(entry["persons"])) for entry in entries] == [(0, 0), (1, 2), (2, 0), (3, 2)]
    assert entries[1]["persons"][0]["box"] == pytest.approx([0.2, 0.2, 0.8, 0.8])


@pytest.mark.parametrize("begin", [0, 10])
def test_a_varying_frame_rate_and_a_late_start(tmp_path, begin, monkeypatch):
    """By its number, the frame at 3 s would be taken for one at 1.7 s."""
    times = [*(i / 30 for i in range(30)), *(1 + i / 10 for i in range(30))]
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("mjpeg", rate=30, time_base=Fraction(1, 1000))
        stream.height, stream.width, stream.pix_fmt = 64, 64, "yuvj420p"
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 4 * number, np.uint8))
            frame.pts, frame.time_base = round(1000 * (begin + time)), Fraction(1, 1000)
            container.mux(stream.encode(frame))
    classified = []

    def persons(second, frame):
        classified.append((second, round(frame.mean() / 4)))
        return np.array([[0.2, 0.3, 0.8, 0.9]]), np.ones(1)

    predictor = ActionPredictor.__new__(ActionPredictor)
    predictor.class_names, predictor.category_ids, predictor.num_frames, predictor.rate = ["wave"], [1], 4, 1
    predictor.max_pixels = None
    predictor.classify = lambda frames, boxes: np.ones((len(boxes), 1), np.float32)
    monkeypatch.setattr(predictor, "predict", lambda path, **_: predictor.predict_seconds(path, persons, [1.0, 3.0]))
    predict_files.predict(predictor, tmp_path / "a.mkv", tmp_path / "out")
    assert classified == [(1.0, times.index(1.0)), (3.0, times.index(3.0))]
    drawn = list(read_frames(tmp_path / "out" / "a.mp4"))
    assert [time for time, _ in drawn] == pytest.approx(times, abs=1e-3)  # the source's are in ms
    changed = [time for time, (_, frame) in zip(times, drawn, strict=True) if frame.max() - frame.min() > 60]
    assert changed == [time for time in times if 0.49 < time < 1.51 or 2.49 < time < 3.51]


def test_what_is_refused(arguments, tmp_path, trained, root):
    video, words, boxes = arguments
    output = ["--output", str(tmp_path / "out")]
    with pytest.raises(ValueError, match="persons: give either --boxes or --detector-weights"):
        predict.main([*words, *output])
    with pytest.raises(
        ValueError, match=r"no person box of video .* with a score of 0\.99 or more; the file has 3 boxes"
    ):
        predict.main([*words, *boxes, *output, "--min-person-score", "0.99"])
    with pytest.raises(ValueError, match=r"--min-person-score is 80, expected a score from 0 to 1"):
        predict.main([*words, *boxes, *output, "--min-person-score", "80"])
    with pytest.raises(ValueError, match="would overwrite"):
        predict.main([*words, *boxes, "--output", str(root / "videos")])
    broken = tmp_path / f"{video}.mp4"
    broken.write_bytes(b"no video")
    with pytest.raises(ValueError, match=r"cannot be decoded"):
        predict.main([*words[:-1], str(broken), *boxes, *output])
    with pytest.raises(ValueError, match="takes no --score-threshold, --top-k"):
        predict.main([*words, *boxes, *output, "--score-threshold", "0.5", "--top-k", "3"])


def test_the_detector_must_know_persons():
    with pytest.raises(ValueError, match="knows no class 'person', but circle, square"):
        persons_detected(SimpleNamespace(class_names=["circle", "square"]), 0.5)


def test_a_real_clip(shared_data, trained, tmp_path):
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("dog,1,0.3,0.05,0.9,1.0,,1\ndog,3,0.3,0.05,0.9,1.0,,1\n")
    weights = ["--config", str(trained.folder / "config.yaml"), "--weights", str(trained.folder / "model_final.pth")]
    video = ["--video", str(shared_data / "hiera" / "dog.mp4"), "--output", str(tmp_path / "out")]
    predict.main([*weights, *video, "--boxes", str(boxes)])
    drawn = cv2.VideoCapture(str(tmp_path / "out" / "dog.mp4"))
    assert drawn.get(cv2.CAP_PROP_FRAME_COUNT) == 150


@pytest.fixture
def predictor(monkeypatch):
    """Finds in every clip a person who waves; ``clips`` has the seconds of those that it was given."""
    predictor = ActionPredictor.__new__(ActionPredictor)
    predictor.class_names, predictor.category_ids, predictor.num_frames, predictor.rate = ["wave"], [1], 4, 1
    predictor.max_pixels = None
    predictor.classify = lambda frames, boxes: np.ones((len(boxes), 1), np.float32)
    detected = SimpleNamespace(
        boxes=torch.tensor([[16.0, 12.0, 48.0, 40.0]]), scores=torch.tensor([0.9]), labels=torch.tensor([0])
    )
    predictor.detector = SimpleNamespace(class_names=["person"], predict=lambda frame, score_threshold: detected)
    return predictor


def test_a_bad_second_costs_that_second(predictor, tmp_path, caplog):
    """Damaged packets around 2 s of 6, and a row of boxes beyond the end."""
    path = write_case(Case("a", "mp4", "hevc", frames=150), tmp_path / "a.mp4")
    damage(path, 49, 50, 51, 52)
    out = tmp_path / "out"
    found = predict_files.predict(predictor, path, out, detector=predictor.detector)
    assert [one.second for one in found] == [0, 1, 3, 4, 5]
    assert len(read_detections(out / "a.csv")) == 5
    assert [entry["second"] for entry in json.loads((out / "a.json").read_text())] == [0, 1, 3, 4, 5]
    with (out / "a.failed.csv").open() as file:
        failed = list(csv.DictReader(file))
    assert [(row["video"], float(row["seconds"])) for row in failed if row["kind"] == "second"] == [("a.mp4", 2)]
    frames = [float(row["seconds"]) for row in failed if row["kind"] == "frame"]
    assert frames and 1.5 < min(frames) < max(frames) < 2.6
    assert all("is damaged and cannot be decoded" in row["reason"] for row in failed)
    assert f"1 seconds and {len(frames)} frames could not be read; listed in {out / 'a.failed.csv'}" in caplog.text
    assert len(list(read_frames(out / "a.mp4"))) == 150 - len(frames)

    boxes = tmp_path / "boxes.csv"
    boxes.write_text("".join(f"a,{second},0.1,0.2,0.4,0.9,,0.95\n" for second in (1, 6.2, 70)))
    with pytest.raises(ValueError, match=r"1 seconds and \d+ frames of .*a\.mp4 could not be read \(--strict\)"):
        predict_files.predict(predictor, path, out, boxes=boxes, strict=True)
    assert [entry["second"] for entry in json.loads((out / "a.json").read_text())] == [1, 6.2]
    assert f"{path} ends at 6.000 s, before the keyframe at 70.000 s" in (out / "a.failed.csv").read_text()
    assert "900" not in caplog.text and "FIRST_SECOND" not in caplog.text


def test_a_cut_tail_costs_its_seconds(predictor, tmp_path):
    path = write_case(Case("a", "mkv", "h264 B", frames=125), tmp_path / "a.mkv")
    found = predict_files.predict(predictor, path, tmp_path / "out", detector=predictor.detector, strict=True)
    assert [one.second for one in found] == [0, 1, 2, 3, 4]
    assert not list((tmp_path / "out").glob("*.failed.csv"))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 55 // 100])
    found = predict_files.predict(predictor, path, tmp_path / "out", detector=predictor.detector)
    assert [one.second for one in found] == [0, 1, 2]
    with (tmp_path / "out" / "a.failed.csv").open() as file:
        failed = [(row["kind"], float(row["seconds"])) for row in csv.DictReader(file)]
    assert [seconds for kind, seconds in failed if kind == "second"] == [3, 4]
    assert failed[-1] == ("frame", pytest.approx(2.7, abs=0.3))


def test_no_second_can_be_read(predictor, tmp_path):
    path = write_case(Case("a", "mp4", "h264 B", frames=30), tmp_path / "a.mp4")
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("a,902,0.1,0.2,0.4,0.9,,0.95\na,903,0.1,0.2,0.4,0.9,,0.95\n")
    with pytest.raises(ValueError, match=r"none of the 2 seconds of .* the first: .*a\.mp4 ends at 1\.200 s, before"):
        predict_files.predict(predictor, path, tmp_path / "out", boxes=boxes)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("case", "seconds"),
    [
        (Case("a", "webm", "vp9", frames=125, muxer=(("live", "1"),), piped=True), 5),  # no duration in its header
        (Case("a", "mkv", "h264 B", fps=Fraction(1), frames=10), 10),
        (Case("a", "mp4", "av1", frames=75), 3),
        (Case("a", "ts", "h264 B", frames=75, start=250), 3),
        (Case("a", "mkv", "h264 B", frames=50, start=250, sound=4.0), 12),  # the sound begins at 0
        (Case("a", "ts", "mpeg2", frames=50, sound=4.0), 2),  # and goes on
        (Case("a", "mp4", "h264 B", uneven=True), 6),
    ],
    ids=lambda value: f"{value.suffix} {value.codec}" if isinstance(value, Case) else str(value),
)
def test_seconds_are_those_of_the_frames(predictor, tmp_path, case, seconds):
    path = write_case(case, tmp_path / f"a.{case.suffix}")
    found = predict_files.predict(predictor, path, tmp_path / "out", detector=predictor.detector, strict=True)
    assert [one.second for one in found] == list(range(seconds))
    with av.open(str(tmp_path / "out" / "a.mp4")) as container:
        drawn = [frame.time for frame in container.decode(video=0)]
    np.testing.assert_allclose(drawn, truth_of(path).times, atol=1 / 90_000)
