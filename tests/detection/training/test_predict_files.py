"""Prediction on files: images, folders, videos, and what is written."""

from __future__ import annotations

import json
import logging
import os
import runpy
import sys

import cv2
import numpy as np
import pycocotools.mask as mask_util
import pytest
from PIL import Image

from hiera_det.cli.predict import main
from tests.data.video.generated import Case, damage, write_case


@pytest.fixture
def weights(trained) -> str:
    return str(trained.folder / "model_final.pth")


@pytest.fixture
def predict(config_file, weights, tmp_path):
    """Runs the command; the folder that it wrote to."""

    def predicted(source, *arguments: str):
        output = tmp_path / "output"
        flags = ["--config", str(config_file), "--weights", weights, "--score-threshold", "0"]
        main([*flags, "--input", str(source), "--output", str(output), *arguments])
        return output, json.loads((output / "predictions.json").read_text())

    return predicted


def picture(height: int = 48, width: int = 80, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_one_image(predict, tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(picture()).save(tmp_path / "in" / "000042.png")
    output, results = predict(tmp_path / "in" / "000042.png")
    drawn = np.asarray(Image.open(output / "000042.png"))
    assert drawn.shape == (48, 80, 3)
    assert (drawn != picture()).any()
    for result in results:
        assert (result["image_id"], result["file_name"]) == (42, "000042.png")
        assert result["category_id"] in (1, 2, 3, 4)
        assert mask_util.decode(result["segmentation"]).shape == (48, 80)
    assert [result["score"] for result in results] == sorted((result["score"] for result in results), reverse=True)


def test_folder_with_a_corrupt_image(predict, tmp_path, caplog):
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "c.jpg"):
        Image.fromarray(picture()).save(tmp_path / "in" / name)
    (tmp_path / "in" / "b.jpg").write_bytes(b"\xff\xd8 no picture")
    (tmp_path / "in" / "notes.txt").write_text("not an image")
    with caplog.at_level(logging.WARNING):
        output, results = predict(tmp_path / "in")
    assert "b.jpg" in caplog.text
    assert {(result["image_id"], result["file_name"]) for result in results} == {(0, "a.jpg"), (2, "c.jpg")}
    assert {path.name for path in output.iterdir()} == {"a.jpg", "c.jpg", "predictions.json"}


def test_score_threshold(predict, tmp_path):
    Image.fromarray(picture()).save(tmp_path / "a.png")
    _, every = predict(tmp_path / "a.png")
    middle = sorted(result["score"] for result in every)[len(every) // 2]
    _, confident = predict(tmp_path / "a.png", "--score-threshold", str(middle))
    assert confident == [result for result in every if result["score"] > middle]


def test_video(predict, tmp_path):
    (tmp_path / "in").mkdir()
    source = tmp_path / "in" / "clip.avi"
    writer = cv2.VideoWriter(str(source), cv2.VideoWriter.fourcc(*"MJPG"), 10, (80, 48))
    for seed in range(3):
        writer.write(picture(seed=seed))
    writer.release()
    output, results = predict(source)
    assert {path.name for path in output.iterdir()} == {"clip.mp4", "predictions.json"}
    capture = cv2.VideoCapture(str(output / "clip.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 3
    assert capture.get(cv2.CAP_PROP_FPS) == 10
    assert {result["image_id"] for result in results} == {0, 1, 2}
    assert {result["file_name"] for result in results} == {"clip.avi"}


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("missing.png", None, FileNotFoundError, "missing.png"),
        (
            "notes.txt",
            b"x",
            ValueError,
            "notes.txt is no image by its name; endings of images: .jpg .* endings of videos: .mp4",
        ),
        ("broken.mp4", b"no video", ValueError, "broken.mp4 cannot be opened: Invalid data"),
        ("broken.png", b"", ValueError, "none of the 1 files can be read, such as broken.png: cannot read image"),
    ],
)
def test_bad_input(predict, tmp_path, name, content, error, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=message):
        predict(tmp_path / name)
    assert not (tmp_path / "output" / "predictions.json").exists()


def test_empty_folder(predict, tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(FileNotFoundError, match="no image in"):
        predict(tmp_path / "in")


def test_unwritable_output(predict, tmp_path):
    Image.fromarray(picture()).save(tmp_path / "a.png")
    (tmp_path / "output").write_text("a file where the folder should be")
    with pytest.raises(OSError, match=r"output folder .* cannot be written to \(File exists\)"):
        predict(tmp_path / "a.png")


def test_read_only_output(predict, tmp_path):
    Image.fromarray(picture()).save(tmp_path / "a.png")
    (tmp_path / "output").mkdir(mode=0o555)
    if os.access(tmp_path / "output", os.W_OK):
        pytest.skip("this user, such as root, writes anywhere")
    with pytest.raises(OSError, match=r"output folder .* cannot be written to \(Permission denied\)"):
        predict(tmp_path / "a.png")


def test_user_errors_are_one_line(request, config_file, monkeypatch, capfd):
    script = str(request.config.rootpath / "tools" / "predict.py")
    flags = ["--config", str(config_file), "--weights", "missing.pth", "--input", "a.png", "--output", "output"]
    monkeypatch.setattr(sys, "argv", [script, *flags])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(script, run_name="__main__")
    assert stop.value.code == 2
    captured = capfd.readouterr().err
    assert captured.splitlines()[-1].startswith("error: no weights file at missing.pth")
    assert "Traceback" not in captured


def test_output_over_the_input(predict, tmp_path):
    (tmp_path / "output").mkdir()
    Image.fromarray(picture()).save(tmp_path / "output" / "a.png")
    with pytest.raises(ValueError, match="would overwrite"):
        predict(tmp_path / "output")


def test_damaged_frames_of_a_video(predict, tmp_path, caplog):
    """They are left out and listed; the others keep their numbers."""
    (tmp_path / "in").mkdir()
    source = write_case(Case("a", "mp4", "h264 B", frames=12, gop=4), tmp_path / "in" / "a.mp4")
    lost = {round(25 * seconds) for seconds in damage(source, 6, 7)}
    with pytest.raises(ValueError, match=r"2 frames of .*a\.mp4 could not be read \(--strict\); the rest is written"):
        predict(source, "--strict")
    assert {path.name for path in (tmp_path / "output").iterdir()} == {"a.mp4", "a.failed.csv", "predictions.json"}
    output, results = predict(source)
    lines = (output / "a.failed.csv").read_text().splitlines()
    assert lines[0] == "video,kind,seconds,reason" and len(lines) == 3
    assert [line.split(",")[:3] for line in lines[1:]] == [["a.mp4", "frame", f"{n / 25:.3f}"] for n in sorted(lost)]
    assert f"2 frames could not be read; listed in {output / 'a.failed.csv'}" in caplog.text
    assert {result["image_id"] for result in results} == set(range(12)) - lost
    write_case(Case("a", "mp4", "h264 B", frames=12, gop=4), source)
    predict(source, "--strict")
    assert not (output / "a.failed.csv").exists()


def test_strict_with_a_folder(predict, tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(picture()).save(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"1 of 2 images could not be read \(--strict\); the rest is written"):
        predict(tmp_path / "in", "--strict")
    assert {path.name for path in (tmp_path / "output").iterdir()} == {"a.png", "predictions.json"}


def test_what_cannot_be_read_or_drawn_is_named(predict, tmp_path, caplog):
    """And the rest goes on: a pipe is not waited for, a name too long for the drawing costs the drawing alone."""
    (tmp_path / "in").mkdir()
    longest, multibyte = "n" * 246 + ".gif", "\u753b" * 83 + ".png"  # 250 and 253 bytes; with .png behind it too many
    for name in ("a.png", "b.gif", longest, multibyte):
        Image.fromarray(picture()).save(tmp_path / "in" / name)
    os.mkfifo(tmp_path / "in" / "pipe.jpg")
    (tmp_path / "in" / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "in" / "._a.png").write_bytes(b"a resource fork")
    with caplog.at_level(logging.INFO):
        output, results = predict(tmp_path / "in")
    assert {path.name for path in output.iterdir()} == {
        "a.png",
        "b.gif.png",
        longest + ".png",
        multibyte,
        "predictions.json",
    }
    assert {result["file_name"] for result in results} == {"a.png", "b.gif", longest, multibyte}
    assert "6 image(s), left out: 1 hidden" in caplog.text
    assert "skipped: pipe.jpg" in caplog.text and "it is a named pipe" in caplog.text
    assert "skipped: loop.jpg" in caplog.text and "2 of 6 files were skipped" in caplog.text


def test_a_drawing_of_too_long_a_name(predict, tmp_path, caplog):
    (tmp_path / "in").mkdir()
    name = "n" * 250 + ".gif"
    for each in ("a.png", name):
        Image.fromarray(picture()).save(tmp_path / "in" / each)
    output, results = predict(tmp_path / "in")
    assert {path.name for path in output.iterdir()} == {"a.png", "predictions.json"}
    assert {result["file_name"] for result in results} == {"a.png", name}
    assert f"not drawn: {name}.png (File name too long)" in caplog.text


def test_a_full_disk_ends_it(predict, tmp_path, monkeypatch):
    Image.fromarray(picture()).save(tmp_path / "a.png")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hiera_det.data.paths.write_image", fail)
    with pytest.raises(OSError, match="No space left"):
        predict(tmp_path / "a.png")


def test_two_images_of_one_drawing(predict, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.gif", "a.gif.png"):
        Image.fromarray(picture()).save(tmp_path / "in" / name)
    with pytest.raises(ValueError, match=r"a\.gif and a\.gif\.png would both be drawn in .*; rename one"):
        predict(tmp_path / "in")


@pytest.mark.parametrize("name", ["a.pipe", "a.jpg"])
def test_an_input_that_is_a_pipe(predict, tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(ValueError, match=r"no image by its name|it is a named pipe"):
        predict(tmp_path / name)
