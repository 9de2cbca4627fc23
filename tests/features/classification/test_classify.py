from __future__ import annotations

import json
import logging
import runpy
import sys

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from hiera_det.cli import classify, predict
from hiera_det.features.classification.classifier import load_classifier
from hiera_det.features.classification.clip import read_center_clip


@pytest.fixture
def weights(original, saved) -> str:
    return saved(original(num_classes=1000))


@pytest.fixture
def run(weights, capsys):
    """Runs the tool; what it prints, as lines."""

    def classified(source, *arguments: str, weights: str = weights) -> list[str]:
        capsys.readouterr()
        predict.main(["--task", "classify", "--weights", weights, "--input", str(source), *arguments])
        return capsys.readouterr().out.splitlines()

    return classified


@pytest.fixture
def folder(tmp_path, photo):
    """Two photos, a damaged one and what is none."""
    (tmp_path / "in").mkdir()
    for name, pixels in (("a.png", photo), ("c.png", photo[::-1])):
        Image.fromarray(pixels).save(tmp_path / "in" / name)
    (tmp_path / "in" / "b.jpg").write_bytes(b"\xff\xd8 no picture")
    (tmp_path / "in" / "notes.txt").touch()
    return tmp_path / "in"


def test_a_photo(run, weights, folder, photo):
    name, *lines = run(folder / "a.png", "--top-k", "3")
    classifier = load_classifier(weights)
    scores, indices = classifier(photo).topk(3)
    assert name == "a.png"
    assert lines == [
        f"{100 * score:6.2f}%  {classifier.labels[index]} ({index})"
        for score, index in zip(scores.tolist(), indices.tolist(), strict=True)
    ]
    assert len(run(folder / "a.png")) == 1 + 5
    assert {path.name for path in folder.iterdir()} == {"a.png", "b.jpg", "c.png", "notes.txt"}


def test_a_folder(run, weights, folder, photo, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        lines = run(folder, "--output", str(tmp_path / "out"))
    assert "skipped: " in caplog.text and "b.jpg" in caplog.text
    assert (lines[0], lines[6]) == ("a.png", "c.png")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.png", "c.png", "predictions.json"}
    results = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [result["file_name"] for result in results] == ["a.png", "c.png"]
    classifier = load_classifier(weights)
    for result, pixels in zip(results, (photo, photo[::-1].copy()), strict=True):
        probabilities = classifier(pixels)
        best = result["classes"]
        assert [entry["category_id"] for entry in best] == probabilities.topk(5).indices.tolist()
        for entry in best:
            assert entry["score"] == pytest.approx(probabilities[entry["category_id"]].item())
            assert entry["label"] == classifier.labels[entry["category_id"]]
    drawn = np.asarray(Image.open(tmp_path / "out" / "a.png"))
    assert drawn.shape == (240, 348, 3)  # enlarged, so that the classes can be read
    plain = cv2.resize(photo, None, fx=4, fy=4, interpolation=cv2.INTER_LINEAR)
    assert (drawn[-60:] == plain[-60:]).all() and (drawn[:20] != plain[:20]).any()


def test_an_image_turned_by_its_exif(run, folder, photo):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    Image.fromarray(np.rot90(photo)).save(folder / "d.png", exif=exif)
    assert run(folder / "d.png")[1:] == run(folder / "a.png")[1:]


def test_videos(run, original, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.mp4", "a.avi"):
        writer = cv2.VideoWriter(str(tmp_path / "in" / name), cv2.VideoWriter.fourcc(*"mp4v"), 30, (96, 80))
        for level in range(90):
            writer.write(np.full((80, 96, 3), 2 * level, np.uint8))
        writer.release()
    torch.save({"model_state": original(clips=True, num_classes=6).state_dict()}, tmp_path / "clips.pth")
    lines = run(tmp_path / "in", "--output", str(tmp_path / "out"), weights=str(tmp_path / "clips.pth"))
    assert (lines[0], lines[6]) == ("a.avi", "a.mp4")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.avi.jpg", "a.mp4.jpg", "predictions.json"}
    drawn = np.asarray(Image.open(tmp_path / "out" / "a.mp4.jpg")).astype(int)
    assert np.abs(drawn[-20:] - 90).max() < 12  # frame 45 of 90
    (tmp_path / "in" / "x.png").touch()
    with pytest.raises(ValueError, match=r"x\.png is no video by its name; .*; these weights classify videos"):
        run(tmp_path / "in" / "x.png", weights=str(tmp_path / "clips.pth"))
    with pytest.raises(ValueError, match=r"a\.mp4 is no image by its name; .*; these weights classify images"):
        run(tmp_path / "in" / "a.mp4")


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("missing.png", FileNotFoundError, r"no image, folder or video at .*missing\.png"),
        ("notes.txt", ValueError, r"notes\.txt is no image by its name; endings of images: \.jpg"),
        ("b.jpg", ValueError, r"none of the 1 files can be read, such as b\.jpg: cannot read image .*b\.jpg"),
    ],
)
def test_bad_input(run, folder, tmp_path, name, error, message):
    with pytest.raises(error, match=message):
        run(folder / name, "--output", str(tmp_path / "out"))
    assert not (tmp_path / "out" / "predictions.json").exists()


def test_folders_with_nothing_to_classify(run, folder, tmp_path):
    for name in ("a.png", "c.png"):
        (folder / name).unlink()
    with pytest.raises(ValueError, match=r"none of the 1 files can be read, such as .*b\.jpg"):
        run(folder)
    (folder / "b.jpg").unlink()
    with pytest.raises(FileNotFoundError, match="no image in"):
        run(folder)


def test_other_wrong_arguments(run, folder):
    with pytest.raises(ValueError, match="would overwrite"):
        run(folder, "--output", str(folder))
    for top_k in ("0", "1001"):
        with pytest.raises(ValueError, match=f"the {top_k} most probable classes are wanted; expected 1 to 1000"):
            run(folder, "--top-k", top_k)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "c"], "of the task 'classify', which takes no --config"),
        (["--score-threshold", "0.1"], "takes no --score-threshold"),
        (["--boxes", "b.csv", "--min-score", "0.1"], "takes no --boxes, --min-score"),
        (["--strict", "--min-score", "0"], "takes no --min-score, --strict"),
        (["MODEL.DEVICE", "cpu"], "takes no KEY VALUE"),
        (["--task", "detect"], "--task detect, but the weights .* are of the task 'classify'"),
    ],
)
def test_arguments_that_do_not_fit_the_task(weights, arguments, message):
    with pytest.raises(ValueError, match=message):
        predict.main(["--weights", weights, "--input", "a.jpg", *arguments])


def test_the_command_of_its_own(run, weights, folder, capsys):
    lines = run(folder / "a.png", "--top-k", "3")
    classify.main(["--weights", weights, "--input", str(folder / "a.png"), "--top-k", "3"])
    assert capsys.readouterr().out.splitlines() == lines


def test_user_errors_are_one_line(request, monkeypatch, capfd):
    script = str(request.config.rootpath / "tools" / "predict.py")
    monkeypatch.setattr(sys, "argv", [script, "--task", "classify", "--weights", "missing.pth", "--input", "a.png"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(script, run_name="__main__")
    assert stop.value.code == 2
    captured = capfd.readouterr().err
    assert captured.splitlines()[-1].startswith("error: no weights file at missing.pth")


def test_the_original_s_photo(run, shared_data):
    """Labels mean nothing with these weights; that a real photo goes through is what this shows."""
    assert len(run(shared_data / "hiera" / "dog.jpg")) == 6


def video(path, levels: list[int], rate: float) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FFV1"), rate, (32, 32))
    for level in levels:
        writer.write(np.full((32, 32, 3), level, np.uint8))
    writer.release()


def test_the_clip_around_the_middle(tmp_path):
    """Frames 4 / 30 s apart: every 4th at 30 frames per second, every 2nd at 15."""
    video(tmp_path / "a.avi", list(range(120)), 30)
    levels = read_center_clip(tmp_path / "a.avi", 16)[:, 0, 0, 0].astype(int)
    assert np.abs(levels - np.arange(28, 92, 4)).max() <= 1
    video(tmp_path / "b.avi", list(range(60)), 15)
    levels = read_center_clip(tmp_path / "b.avi", 8)[:, 0, 0, 0].astype(int)
    assert np.abs(levels - np.arange(22, 38, 2)).max() <= 1


def test_a_short_video(tmp_path):
    video(tmp_path / "a.avi", list(range(0, 200, 20)), 30)
    levels = read_center_clip(tmp_path / "a.avi", 8)[:, 0, 0, 0].astype(int)
    assert levels[0] <= 1 and levels[-1] >= 179
    assert (np.diff(levels) >= 0).all()
