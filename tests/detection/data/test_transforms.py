from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from hiera_det.coco.reader import read_annotations
from hiera_det.coco.records import ImageRecord, Instance
from hiera_det.coco.results import encode_mask
from hiera_det.config import get_cfg
from hiera_det.data.images import read_image
from hiera_det.detection.data import transforms
from hiera_det.detection.data.targets import make_sample, make_target
from hiera_det.detection.data.transforms import (
    DetectionTransform,
    FixedSizeCrop,
    ResizeScale,
    ResizeShortestEdge,
    build_test_transform,
    build_train_transform,
    shortest_edge_size,
)

RECORDED = json.loads((Path(__file__).parent / "recorded" / "transforms.json").read_text())


def _picture(height, width):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def _record(height, width, *instances):
    return ImageRecord(1, "x.png", height, width, list(instances))


@pytest.mark.parametrize(
    ("height", "width", "short", "longest", "expected"),
    [
        (480, 640, 800, 1333, (800, 1067)),  # 1066.67
        (640, 480, 800, 1333, (1067, 800)),
        (333, 500, 480, 1333, (480, 721)),  # 720.72
        (426, 640, 800, 1333, (800, 1202)),
        (427, 640, 1024, 1024, (683, 1024)),
        (4, 9, 2, 100, (2, 5)),  # 4.5: halves go up
        (100, 1000, 800, 1333, (133, 1333)),
        (2, 5000, 800, 1333, (1, 1333)),  # 0.53
        (1, 5000, 800, 1333, (1, 1333)),  # 0.27: never no pixel at all
    ],
)
def test_shortest_edge_arithmetic(height, width, short, longest, expected):
    assert shortest_edge_size(height, width, short, longest) == expected


@pytest.mark.parametrize("case", RECORDED, ids=lambda c: f"{c['image_id']}-{c['steps']}-{c['u']}")
def test_equal_to_detectron2(shared_data, monkeypatch, case):
    coco = shared_data / "coco"
    content = read_annotations(coco / "annotations/instances_val2017.json", mask_format="bitmask")
    (record,) = (r.for_training() for r in content.records if r.image_id == case["image_id"])
    monkeypatch.setattr(transforms, "_uniform", lambda low, high: low + (high - low) * case["u"])
    flip = v2.RandomHorizontalFlip(1.0)
    jitter = case["steps"] == "jitter"
    steps = [flip, ResizeScale([0.1, 2.0], 512), FixedSizeCrop(512)]
    if not jitter:
        steps = [ResizeShortestEdge([300], 420, "choice"), flip]
    image, sample = DetectionTransform(steps, crops=jitter)(
        read_image(coco / "val2017" / record.file_name), make_sample(record)
    )
    size = (image.height, image.width)
    target = make_target(record, sample, size, mask_format="bitmask", recompute_boxes=jitter)
    assert list(size) == case["size"]
    assert (target["labels"] - 1).tolist() == case["classes"]
    assert target["masks"].flatten(1).sum(1).tolist() == case["mask_areas"]
    torch.testing.assert_close(target["boxes"], torch.tensor(case["boxes"]), atol=1e-3, rtol=0)


def test_pixels_are_pils(monkeypatch):
    picture = _picture(60, 80)
    monkeypatch.setattr(transforms, "_uniform", lambda low, high: 0.75 * high + 0.25 * low)
    steps = [v2.RandomHorizontalFlip(1.0), ResizeScale([1.0, 2.0], 64), FixedSizeCrop(64)]
    found, _ = DetectionTransform(steps, crops=True)(picture, make_sample(_record(60, 80)))
    flipped = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    resized = flipped.resize((112, 84), Image.Resampling.BILINEAR)  # 64 * 1.75 = 112
    expected = resized.crop((36, 15, 100, 79))  # 0.75 of 48 and of 20
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


def test_image_smaller_than_the_crop_is_not_padded(monkeypatch):
    monkeypatch.setattr(transforms, "_uniform", lambda low, high: low)
    steps = [ResizeScale([0.5, 2.0], 64), FixedSizeCrop(64)]
    found, _ = DetectionTransform(steps, crops=True)(_picture(60, 80), make_sample(_record(60, 80)))
    assert (found.height, found.width) == (24, 32)


@pytest.mark.parametrize("side", [11, 23, 100])
def test_rle_masks_are_resized_as_pil_does(side):
    mask = (np.random.default_rng(1).random((37, 53)) > 0.5).astype(np.uint8)
    sample = make_sample(_record(37, 53, Instance(1, (0, 0, 53, 37), (0, 0, 53, 37), encode_mask(mask))))
    resize = ResizeShortestEdge([side], 1000, "choice")
    image, sample = DetectionTransform([resize], crops=False)(_picture(37, 53), sample)
    expected = Image.fromarray(mask).resize((image.width, image.height), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(next(sample["bitmaps"].decode()), np.asarray(expected))


def _cfg(**values):
    cfg = get_cfg()
    for key, value in values.items():
        node = cfg.INPUT.CROP if key.startswith("CROP_") else cfg.INPUT
        setattr(node, key.removeprefix("CROP_"), value)
    return cfg


def _sizes(transform, height, width, draws=40):
    sizes = set()
    for draw in range(draws):
        torch.manual_seed(draw)
        image, _ = transform(_picture(height, width), make_sample(_record(height, width)))
        sizes.add((image.height, image.width))
    return sizes


def test_choice_and_range_of_sides():
    choice = build_train_transform(_cfg(MIN_SIZE_TRAIN=(20, 25), MAX_SIZE_TRAIN=100))
    assert not choice.crops
    assert _sizes(choice, 40, 40) == {(20, 20), (25, 25)}
    between = _cfg(MIN_SIZE_TRAIN=(20, 22), MAX_SIZE_TRAIN=100, MIN_SIZE_TRAIN_SAMPLING="range")
    assert _sizes(build_train_transform(between), 40, 40) == {(20, 20), (21, 21), (22, 22)}


def test_jitter_covers_its_range():
    cfg = _cfg(MAX_SIZE_TRAIN=40, CROP_ENABLED=True, CROP_TYPE="large_scale_jitter", CROP_SIZE=[0.1, 2.0])
    jitter = build_train_transform(cfg)
    assert jitter.crops
    sides = {height for height, _ in _sizes(jitter, 30, 30)}
    assert min(sides) < 12
    assert max(sides) == 40


_NO_JITTER = {
    "CROP_ENABLED": True,
    "CROP_TYPE": "large_scale_jitter",
    "CROP_SIZE": [1.0, 1.0],
    "MAX_SIZE_TRAIN": 6,
}


@pytest.mark.parametrize("options", [{"MIN_SIZE_TRAIN": (0,)}, _NO_JITTER], ids=["shortest", "jitter"])
@pytest.mark.parametrize(("flip", "expected"), [("none", 1), ("horizontal", 2), ("vertical", 2)])
def test_flips_by_config(flip, expected, options):
    transform = build_train_transform(_cfg(RANDOM_FLIP=flip, **options))
    picture = _picture(6, 6)
    mirrored = {"horizontal": Image.Transpose.FLIP_LEFT_RIGHT, "vertical": Image.Transpose.FLIP_TOP_BOTTOM}
    seen = set()
    for draw in range(20):
        torch.manual_seed(draw)
        seen.add(transform(picture, make_sample(_record(6, 6)))[0].tobytes())
    assert len(seen) == expected
    assert picture.tobytes() in seen
    assert flip == "none" or picture.transpose(mirrored[flip]).tobytes() in seen


def test_test_transform():
    assert _sizes(build_test_transform(_cfg(MIN_SIZE_TEST=20, MAX_SIZE_TEST=30)), 40, 60) == {(20, 30)}
    assert _sizes(build_test_transform(_cfg(MIN_SIZE_TEST=20, MAX_SIZE_TEST=24)), 40, 60) == {(16, 24)}
    assert _sizes(build_test_transform(_cfg(MIN_SIZE_TEST=0)), 40, 60) == {(40, 60)}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"RANDOM_FLIP": "diagonal"}, "INPUT.RANDOM_FLIP is 'diagonal'"),
        ({"CROP_ENABLED": True}, "INPUT.CROP.TYPE is 'relative_range'"),
        (
            {"CROP_ENABLED": True, "CROP_TYPE": "large_scale_jitter", "CROP_SIZE": [2.0, 0.1]},
            r"INPUT.CROP.SIZE is \[2.0, 0.1\]",
        ),
        ({"MIN_SIZE_TRAIN_SAMPLING": "any"}, "INPUT.MIN_SIZE_TRAIN_SAMPLING is 'any'"),
        (
            {"MIN_SIZE_TRAIN_SAMPLING": "range", "MIN_SIZE_TRAIN": (1, 2, 3)},
            r"INPUT.MIN_SIZE_TRAIN is \(1, 2, 3\), expected two",
        ),
        (
            {"MIN_SIZE_TRAIN_SAMPLING": "range", "MIN_SIZE_TRAIN": (2, 1)},
            r"INPUT.MIN_SIZE_TRAIN is \(2, 1\), expected two",
        ),
    ],
)
def test_unsupported_values_are_named(values, message):
    with pytest.raises(ValueError, match=message):
        build_train_transform(_cfg(**values))
