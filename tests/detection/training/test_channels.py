"""Detectors of grey images and of four channels: trained, evaluated, begun from weights of three, used."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import hiera_det
from hiera_det.cli.predict import main as predict
from hiera_det.data.catalog import DatasetFiles
from hiera_det.data.reading import reading_of
from hiera_det.detection.data.coco import CocoDataset
from hiera_det.detection.data.transforms import build_test_transform

ONE = ["MODEL.PIXEL_MEAN", "[120.0]", "MODEL.PIXEL_STD", "[60.0]"]
FOUR = ["MODEL.PIXEL_MEAN", "[120.0, 115.0, 105.0, 50.0]", "MODEL.PIXEL_STD", "[60.0, 60.0, 60.0, 30.0]"]
KERNEL = "backbone.bottom_up.patch_embed.proj.weight"


@pytest.fixture
def four(datasets_root, tmp_path):
    """The generated dataset with a fourth channel, 0 wherever the image is bright: as transparency it would hide it."""
    root = tmp_path / "four"
    shutil.copytree(datasets_root / "shapes", root)
    for split in ("train", "val"):
        for path in (root / split).iterdir():
            pixels = np.asarray(Image.open(path).convert("RGB"))
            fourth = np.where(pixels.mean(axis=2, keepdims=True) > 100, 0, 255).astype(np.uint8)
            Image.fromarray(np.concatenate([pixels, fourth], axis=2)).save(path, "PNG")  # whatever its ending
    return root


def flags(root) -> list[str]:
    files = [str(root / "annotations" / f"instances_{split}.json") for split in ("train", "val")]
    return ["--dataset-json", *files, "--image-root", str(root / "train"), str(root / "val")]


def some_image(root, split="val"):
    return min((root / split).iterdir())


def test_grey(run, trained, datasets_root, tmp_path):
    weights = str(trained.folder / "model_final.pth")
    run(*ONE, "SOLVER.MAX_ITER", "2", "VIS_PERIOD", "1", "MODEL.WEIGHTS", weights)
    assert f"resized: {KERNEL}: 3 channels added up to 1: grey in place of RGB" in run.log
    assert run.checkpoint()["model"][KERNEL].shape[1] == 1
    drawn = np.asarray(Image.open(min((run.folder / "inference" / "pictures").iterdir())))
    assert drawn.shape[2] == 3

    predictor = hiera_det.load(run.folder, device="cpu")
    path = some_image(datasets_root / "shapes")
    with Image.open(path) as image:
        rgb, grey = np.asarray(image.convert("RGB")), image.convert("L")
    sources = [path, grey, np.asarray(grey), np.asarray(grey)[..., None], torch.from_numpy(np.array(grey))[None], rgb]
    found = [predictor.predict(source, score_threshold=0.0) for source in sources]
    assert found[0].image.shape == (*rgb.shape[:2], 3) and len(found[0])
    for other in found[1:]:
        assert torch.equal(other.scores, found[0].scores) and torch.equal(other.boxes, found[0].boxes)
    writer = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 64))
    writer.write(rgb)
    writer.release()
    assert len(list(predictor.predict_video(tmp_path / "a.avi"))) == 1
    predict(["--weights", str(run.folder), "--input", str(path.parent), "--output", str(tmp_path / "out")])
    assert (tmp_path / "out" / path.name).is_file()


def test_four_channels(run, trained, four, tmp_path):
    weights = str(trained.folder / "model_final.pth")
    run(*flags(four), *FOUR, "SOLVER.MAX_ITER", "2", "VIS_PERIOD", "1", "MODEL.WEIGHTS", weights)
    assert f"resized: {KERNEL}: 3 channels kept, zeros for the other 1" in run.log
    assert run.checkpoint()["model"][KERNEL].shape[1] == 4
    predictor = hiera_det.load(run.folder, device="cpu")
    path = some_image(four)
    pixels = np.asarray(Image.open(path))
    found = predictor.predict(path, score_threshold=0.0)
    same = predictor.predict(pixels, score_threshold=0.0)
    assert len(found) and torch.equal(found.scores, same.scores)
    assert (found.image == pixels[..., :3]).all()
    assert predictor.predict(Image.open(path), score_threshold=0.0).scores.equal(found.scores)
    changed = pixels.copy()
    changed[..., 3] = 255 - changed[..., 3]
    assert not torch.equal(predictor.predict(changed, score_threshold=0.0).scores, found.scores)
    with pytest.raises(ValueError, match=r"it has 3 channels \(RGB\), but MODEL\.PIXEL_MEAN has 4 values"):
        predictor.predict(Image.fromarray(pixels[..., :3]))
    with pytest.raises(ValueError, match=r"expected an array \(H, W, 4\) of uint8, RGB and a fourth channel"):
        predictor.predict(pixels[..., :3])


@pytest.mark.parametrize("image_format", ["RGB", "BGR"])
def test_channels_are_resized_and_ordered_each_by_itself(run, four, image_format):
    """As PIL's RGBA, a fourth channel of 0 would take the colours away."""
    from hiera_det.config import load_config

    cfg = load_config(run.config, [*FOUR, "INPUT.FORMAT", image_format, "INPUT.MIN_SIZE_TEST", "32"])
    files = DatasetFiles("four", four / "annotations" / "instances_val.json", four / "val")
    dataset = CocoDataset(
        files,
        build_test_transform(cfg),
        image_format=image_format,
        mask_format=None,
        filter_empty=False,
        reading=reading_of(cfg),
    )
    image, _ = dataset[0]
    pixels = np.asarray(Image.open(four / "val" / dataset._records[0].file_name))
    order = [0, 1, 2, 3] if image_format == "RGB" else [2, 1, 0, 3]
    for channel, place in enumerate(order):
        alone = Image.fromarray(np.ascontiguousarray(pixels[..., place])).resize((32, 32), Image.Resampling.BILINEAR)
        assert (image[channel].numpy() == np.asarray(alone)).all()


def test_images_of_three_channels_are_refused_for_four(run, datasets_root):
    with pytest.raises(
        ValueError, match=r"its mode is RGB, but MODEL\.PIXEL_MEAN has 4 values: expected four channels"
    ):
        run(*flags(datasets_root / "shapes"), *FOUR, "DATALOADER.NUM_WORKERS", "0")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            ["MODEL.PIXEL_MEAN", "[1.0, 2.0]", "MODEL.PIXEL_STD", "[1.0, 2.0]"],
            r"MODEL\.PIXEL_MEAN has 2 values; expected 1 \(grey\), 3 \(colour\) or 4",
        ),
        (["MODEL.PIXEL_MEAN", "[1.0]"], r"MODEL\.PIXEL_STD is .*; expected 1 values, as MODEL\.PIXEL_MEAN has 1"),
        (["MODEL.PIXEL_STD", "[1.0, 0.0, 1.0]"], r"MODEL\.PIXEL_STD is .*; expected a list of 1 to 4 numbers above 0"),
        (["INPUT.FORMAT", "L"], r"INPUT\.FORMAT is 'L'; expected RGB or BGR for the 3 channels"),
        ([*ONE, "INPUT.FORMAT", "RGBA"], r"INPUT\.FORMAT is 'RGBA'; expected RGB or BGR or L for the 1 channels"),
        (["INPUT.MAX_PIXELS", "0"], r"INPUT\.MAX_PIXELS is 0; expected a whole number from 1"),
        (["INPUT.PIXEL_RANGE", "[5, 5]"], r"INPUT\.PIXEL_RANGE is \[5, 5\]; expected \[\] or the values"),
        (["INPUT.PIXEL_RANGE", "[0]"], r"INPUT\.PIXEL_RANGE is \[0\]; expected"),
        (["INPUT.PIXEL_RANGE", "['a', 'b']"], r"INPUT\.PIXEL_RANGE is \['a', 'b'\]; expected a list"),
    ],
)
def test_keys_that_make_no_sense(run, keys, message):
    with pytest.raises(ValueError, match=message):
        run(*keys)


def test_keys_of_images_reach_training_and_prediction(run, trained, datasets_root):
    with pytest.raises(ValueError, match=r"64 x 64 pixels are more than the 4095 allowed \(INPUT\.MAX_PIXELS\)"):
        run("INPUT.MAX_PIXELS", "4095", "DATALOADER.NUM_WORKERS", "0")
    flags = ["--weights", str(trained.folder), "--input", str(datasets_root / "shapes" / "val")]
    with pytest.raises(ValueError, match=r"none of the 5 files can be read, such as .* 4095 allowed \(INPUT\.MAX_PIX"):
        predict([*flags, "--output", str(run.folder), "INPUT.MAX_PIXELS", "4095"])
