"""A trained detector in Python: what it takes, what comes back, and that it is what the evaluation finds."""

from __future__ import annotations

import http.server
import json
import threading
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

import hiera_det
from hiera_det.data.video_writer import write_video
from hiera_det.detection.predictor import DetectionPredictor


@pytest.fixture
def predictor(trained) -> DetectionPredictor:
    return hiera_det.load(trained.folder / "model_final.pth", device="cpu")


@pytest.fixture
def with_config(trained, tmp_path):
    """Loads the trained weights with other values of config keys."""

    def load(*overrides):
        from hiera_det.weights.trained import read_trained

        return DetectionPredictor.from_trained(read_trained(trained.folder), overrides=overrides)

    return load


def picture(height: int = 48, width: int = 80, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def same(ours, theirs) -> bool:
    fields = ("boxes", "scores", "labels", "masks", "category_ids")
    return all(torch.equal(getattr(ours, name), getattr(theirs, name)) for name in fields)


def test_what_comes_back(predictor):
    found = predictor.predict(picture(), score_threshold=0.0)
    count = len(found)
    assert count > 0 and found.class_names == ["circle", "square", "triangle", "star"]
    assert (found.boxes.shape, found.scores.shape) == ((count, 4), (count,))
    assert found.masks is not None and found.masks.shape == (count, 48, 80) and found.masks.dtype == torch.bool
    assert (found.boxes[:, 2] <= 80).all() and (found.boxes[:, 3] <= 48).all() and (found.boxes >= 0).all()
    assert set(found.labels.tolist()) <= {0, 1, 2, 3}
    assert found.category_ids.tolist() == [predictor.category_ids[label] for label in found.labels]
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
    assert "48" in repr(found) and "circle" in repr(found) + "circle"


def test_it_agrees_with_the_evaluation(predictor, trained, datasets_root):
    """The same image gives the same detections as in --eval-only: resizing, channel order, original size."""
    truth = json.loads((datasets_root / "shapes" / "annotations" / "instances_val.json").read_text())
    results = json.loads((trained.folder / "inference" / "coco_instances_results.json").read_text())
    image = truth["images"][0]
    found = predictor.predict(datasets_root / "shapes" / "val" / image["file_name"])
    assert found.to_coco(image["id"]) == [result for result in results if result["image_id"] == image["id"]]


def test_every_kind_of_source_is_the_same_image(predictor, tmp_path):
    pixels = picture()
    Image.fromarray(pixels).save(tmp_path / "a.png")
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/a.png"
        sources = [tmp_path / "a.png", str(tmp_path / "a.png"), url, Image.fromarray(pixels), pixels, tensor]
        found = predictor.predict([*sources, tensor / 255], score_threshold=0.0)
        with pytest.raises(OSError, match=r"cannot fetch image http://127.*404"):
            predictor.predict(f"{url}.not")
        server.shutdown()
    assert len(found) == 7 and len(found[0])
    assert all(same(found[0], other) for other in found)
    assert predictor.predict([]) == [] and len(predictor.predict((pixels,))) == 1


def test_a_pil_image_is_turned_as_its_file_is(predictor, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture()).save(tmp_path / "a.png", exif=exif)
    opened = Image.open(tmp_path / "a.png")
    found = predictor.predict([tmp_path / "a.png", opened], score_threshold=0.0)
    assert found[0].image.shape == (80, 48, 3) and same(*found)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.zeros((4, 4), np.uint8), r"expected an array \(H, W, 3\) of uint8, RGB; got \(4, 4\)"),
        (np.zeros((4, 4, 3), np.float32), "of float32"),
        (np.zeros((0, 4, 3), np.uint8), "got"),
        (torch.zeros(4, 4, 3), r"expected a tensor \(3, H, W\)"),
        (torch.full((3, 4, 4), 200.0), "values from 0 to 1; got values outside"),
        (torch.full((3, 4, 4), float("nan")), "values outside"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), "got torch.int64"),
        (7, "expected an image: a path, a URL, .* got a int"),
        (None, "got a NoneType"),
    ],
)
def test_other_sources_are_refused(predictor, source, message):
    with pytest.raises(ValueError, match=message):
        predictor.predict(source)


def test_a_file_that_is_not_there_or_no_image(predictor, tmp_path):
    (tmp_path / "a.jpg").write_text("no image")
    for name, message in (("b.jpg", "no such file"), ("a.jpg", "of no image format")):
        with pytest.raises(OSError, match=message):
            predictor.predict(tmp_path / name)


def test_a_threshold_below_the_configs_is_obeyed(with_config):
    high = with_config("MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.9)
    low = with_config("MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.0)
    image = picture()
    assert len(high.predict(image)) == 0
    assert len(high.predict(image, score_threshold=0.0)) > 0
    assert same(high.predict(image, score_threshold=0.0), low.predict(image))
    assert len(high.predict(image)) == 0  # the next call has the config's again
    for wrong in (-0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match=r"score_threshold is .*; expected 0 to 1"):
            high.predict(image, score_threshold=wrong)


def test_the_channel_order_is_the_configs(with_config):
    rgb, bgr = with_config(), with_config("INPUT.FORMAT", "BGR")
    image = picture()
    turned = np.ascontiguousarray(image[:, :, ::-1])
    assert torch.equal(rgb.predict(image).scores, bgr.predict(turned).scores)
    assert not torch.equal(rgb.predict(image).scores, bgr.predict(image).scores)


def test_frames_of_a_video(predictor, tmp_path):
    frames = [(number / 10, picture(seed=number)) for number in range(3)]
    write_video(tmp_path / "clip.mp4", frames)
    found = list(predictor.predict_video(tmp_path / "clip.mp4", score_threshold=0.0))
    assert [each.seconds for each in found] == pytest.approx([0.0, 0.1, 0.2], abs=1e-3)
    assert same(found[1], predictor.predict(found[1].image, score_threshold=0.0))


def test_drawing(predictor):
    found = predictor.predict(picture(), score_threshold=0.0)
    drawn = found.draw()
    assert drawn.size == (80, 48) and (np.asarray(drawn) != found.image).any()
    assert (found.image == picture()).all()


def test_supervision(predictor, monkeypatch):
    supervision = pytest.importorskip("supervision")
    found = predictor.predict(picture(), score_threshold=0.0)
    theirs = found.to_supervision()
    assert isinstance(theirs, supervision.Detections) and len(theirs) == len(found)
    assert np.array_equal(theirs.xyxy, found.boxes.numpy()) and np.array_equal(theirs.mask, found.masks.numpy())
    assert theirs.class_id.tolist() == found.labels.tolist()
    assert theirs["class_name"].tolist() == [found.class_names[label] for label in found.labels]
    nothing = predictor.predict(picture(), score_threshold=1.0).to_supervision()
    assert len(nothing) == 0
    monkeypatch.setitem(__import__("sys").modules, "supervision", None)
    with pytest.raises(ImportError, match="pip install supervision"):
        found.to_supervision()


def test_devices(trained):
    for wrong in ("tpu", "cuda:99", "meta"):
        with pytest.raises(ValueError, match=f"device '{wrong}'"):
            hiera_det.load(trained.folder, device=wrong)
    assert hiera_det.load(trained.folder).device.type in ("cpu", "cuda")
