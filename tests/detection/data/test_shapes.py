from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pycocotools.mask as mask_util
import pytest
from PIL import Image

from hiera_det.detection.data.shapes import CLASSES, draw_scene, write_shapes

TOOL = Path(__file__).parents[3] / "tools" / "make_shapes.py"


def _mask(instance, size=128):
    value = instance["segmentation"]
    rle = value if isinstance(value, dict) else mask_util.merge(mask_util.frPyObjects(value, size, size))
    return mask_util.decode(rle).astype(bool)


@pytest.fixture(scope="module")
def scenes():
    return [draw_scene(np.random.default_rng([1, number]), 128) for number in range(60)]


def test_scenes_are_varied(scenes):
    instances = [instance for _, found in scenes for instance in found]
    assert {instance["category_id"] for instance in instances} == set(range(1, len(CLASSES) + 1))
    assert {len(found) for _, found in scenes} >= {1, 2, 3, 4}
    kinds = [isinstance(instance["segmentation"], dict) for instance in instances]
    assert 0.05 < np.mean(kinds) < 0.5  # polygons, and some RLE
    assert min(max(instance["bbox"][2:]) for instance in instances) > 15


def test_masks_do_not_overlap_and_fit_box_and_area(scenes):
    for _, instances in scenes:
        masks = [_mask(instance) for instance in instances]
        assert np.sum(masks, axis=0).max() <= 2  # two polygons may share a pixel of their common edge ...
        for index, (mask, instance) in enumerate(zip(masks, instances, strict=True)):
            shared = mask & np.any([other for k, other in enumerate(masks) if k != index], axis=0)
            assert shared.sum() <= 0.06 * mask.sum()  # ... and nothing else: what is hidden is not in the mask
            assert abs(mask.sum() / instance["area"] - 1) < 0.08
            ys, xs = np.nonzero(mask)
            x, y, width, height = instance["bbox"]
            found = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
            np.testing.assert_allclose([x, y, x + width, y + height], found, atol=1.5)


def test_masks_lie_on_the_shapes(scenes):
    # A shape is of one colour up to shade and noise, its surroundings are not of that colour.
    for picture, instances in scenes:
        for instance in instances:
            inner = picture[_mask(instance)].astype(float)
            assert np.median(np.abs(inner - np.median(inner, axis=0)).max(axis=1)) < 25
            assert np.linalg.norm(np.median(inner, axis=0) - np.median(picture, axis=(0, 1))) > 40


def test_occlusion_is_there_and_moderate(scenes):
    # The area of a full circle follows from its box only if nothing covers it.
    circles = [i for _, found in scenes for i in found if i["category_id"] == 1]
    filled = [i["area"] / (np.pi / 4 * max(i["bbox"][2:]) ** 2) for i in circles]
    assert min(filled) < 0.95
    assert min(filled) > 0.5


def test_same_seed_same_files(tmp_path):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        write_shapes(tmp_path / name, num_train=3, num_val=2, seed=seed)

    def read(name):
        return {p.relative_to(tmp_path / name): p.read_bytes() for p in (tmp_path / name).rglob("*.*")}

    assert read("a") == read("b")
    assert read("a")[Path("train/000001.jpg")] != read("c")[Path("train/000001.jpg")]
    assert read("a")[Path("train/000001.jpg")] != read("a")[Path("val/000001.jpg")]


def test_files_are_coco_format(tmp_path):
    write_shapes(tmp_path / "shapes", num_train=3, num_val=2)
    assert [path.name for path in tmp_path.iterdir()] == ["shapes"]
    for name, number in (("train", 3), ("val", 2)):
        content = json.loads((tmp_path / f"shapes/annotations/instances_{name}.json").read_text())
        assert [image["id"] for image in content["images"]] == list(range(1, number + 1))
        assert [category["name"] for category in content["categories"]] == list(CLASSES)
        for image in content["images"]:
            with Image.open(tmp_path / "shapes" / name / image["file_name"]) as picture:
                assert picture.size == (image["width"], image["height"]) == (128, 128)
        assert {a["image_id"] for a in content["annotations"]} == {image["id"] for image in content["images"]}


def test_existing_folder(tmp_path, caplog):
    target = tmp_path / "shapes"
    write_shapes(target, num_train=1, num_val=1)
    with caplog.at_level("INFO"):
        write_shapes(target, num_train=1, num_val=1)
    assert "there already" in caplog.text
    with pytest.raises(FileExistsError, match="not empty"):
        write_shapes(target, num_train=2, num_val=1)
    other = tmp_path / "other"
    other.mkdir()
    (other / "precious.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="not empty"):
        write_shapes(other, num_train=1, num_val=1)
    assert (other / "precious.txt").read_text() == "keep"


def test_interrupted_writing_leaves_no_dataset(tmp_path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    target = tmp_path / "shapes"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("hiera_det.detection.data.shapes._annotation", interrupt)
        write_shapes(target, num_train=1, num_val=1)
    assert not target.exists()
    write_shapes(target, num_train=1, num_val=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shapes"]


def test_tool_reports_a_bad_argument(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["make_shapes.py", "--output", str(tmp_path / "s"), "--num-val", "0"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(TOOL), run_name="__main__")
    assert stop.value.code == 2
    assert "num_val=0" in capsys.readouterr().err
