"""Written and read again, a dataset has the same instances."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pycocotools.mask as rle
import pytest

from hiera_det.cli import convert_data
from hiera_det.coco.reader import read_annotations
from hiera_det.datasets.recognise import read_dataset
from tests.datasets.conftest import SIZES, coco, draw, expected, found


def converted(source, output, to):
    convert_data.main([str(source), str(output), "--to", to])
    return read_dataset(output)


@pytest.mark.parametrize("to", ["coco", "yolo", "voc"])
def test_every_format_to_every_other(made, to, tmp_path, capsys):
    name, folder = made
    dataset = converted(folder, tmp_path / "out", to)
    assert dataset.file_format == {"coco": "COCO", "yolo": "YOLO", "voc": "Pascal VOC"}[to]
    assert {**expected(), **found(next(iter(dataset.splits.values())))} == expected()
    assert f"{folder}: {name}" in capsys.readouterr().out
    (split,) = dataset.splits.values()
    assert len(split.images) == 3 and all((split.image_root / its["file_name"]).is_file() for its in split.images)


@pytest.mark.parametrize("to", ["coco", "yolo", "voc"])
def test_splits_stay(to, tmp_path):
    for split, names in {"train": ["a.jpg", "c.jpg"], "val": ["b.png"]}.items():
        draw(tmp_path / "in" / split, names)
        (tmp_path / "in" / f"{split}.json").write_text(json.dumps(coco(names)))
    dataset = converted(tmp_path / "in", tmp_path / "out", to)
    assert {name: found(its) for name, its in dataset.splits.items()} == {
        "train": expected("a.jpg", "c.jpg"),
        "val": expected("b.png"),
    }


@pytest.fixture
def masked(tmp_path):
    """An object of two polygons, one of pixels, one without a mask, and a crowd region."""
    draw(tmp_path / "in", ["a.jpg"])
    pixels = np.zeros((48, 64), np.uint8)
    pixels[10:30, 10:25], pixels[40:45, 50:60] = 1, 1
    counts = rle.encode(np.asfortranarray(pixels))
    content = coco(["a.jpg"])
    parts = [[2.0, 2.0, 20.0, 2.0, 20.0, 12.0, 2.0, 12.0], [30.0, 30.0, 50.0, 30.0, 40.0, 44.0]]
    instances = [
        {"segmentation": parts, "bbox": [2, 2, 48, 42]},
        {"segmentation": {"size": [48, 64], "counts": counts["counts"].decode()}, "bbox": [10, 10, 50, 35]},
        {"bbox": [1, 2, 3, 4]},
        {"segmentation": {"size": [48, 64], "counts": [0, 3072]}, "bbox": [0, 0, 64, 48], "iscrowd": 1},
    ]
    content["annotations"] = [{"id": i, "image_id": 0, "category_id": 2, **its} for i, its in enumerate(instances, 1)]
    (tmp_path / "in" / "train.json").write_text(json.dumps(content))
    return tmp_path / "in"


def test_masks_in_yolo(masked, tmp_path, caplog):
    split = converted(masked, tmp_path / "out", "yolo").splits["train"]
    assert "1 crowd regions, which YOLO does not have, are left out" in caplog.text
    assert len(split.annotations) == 3 and "segmentation" not in split.annotations[2]
    split.annotations = [entry for entry in split.annotations if "segmentation" in entry]
    (tmp_path / "again.json").write_text(json.dumps(split.content()))
    after = read_annotations(tmp_path / "again.json", mask_format="bitmask").records[0]
    content = json.loads((masked / "train.json").read_text())
    content["annotations"] = [entry for entry in content["annotations"] if "segmentation" in entry]
    (tmp_path / "before.json").write_text(json.dumps(content))
    before = read_annotations(tmp_path / "before.json", mask_format="bitmask").records[0]
    ours = [it.segmentation for it in after.instances]
    theirs = [it.segmentation for it in before.instances if not it.crowd]
    assert len(ours) == len(theirs) == 2
    for a, b in zip(ours, theirs, strict=True):
        masks = [its if isinstance(its, dict) else _pixels(its) for its in (a, b)]
        assert rle.iou([masks[0]], [masks[1]], [0])[0, 0] > 0.98


def _pixels(polygons):
    return rle.merge(rle.frPyObjects([polygon.ravel().tolist() for polygon in polygons], 48, 64))


def test_masks_in_voc(masked, tmp_path, caplog):
    split = converted(masked, tmp_path / "out", "voc").splits["train"]
    assert "masks, which Pascal VOC has not, are written as boxes" in caplog.text
    assert [entry["bbox"] for entry in split.annotations] == [
        [2, 2, 48, 42],
        [10, 10, 50, 35],
        [1, 2, 3, 4],
        [0, 0, 64, 48],
    ]
    assert [entry["iscrowd"] for entry in split.annotations] == [0, 0, 0, 1]


def test_nothing_is_overwritten_or_half_written(made, tmp_path, monkeypatch):
    _, folder = made
    (tmp_path / "out").mkdir()
    with pytest.raises(FileExistsError, match="out exists already"):
        convert_data.main([str(folder), str(tmp_path / "out"), "--to", "coco"])
    copy, copied = shutil.copyfile, []

    def fail(source, target):
        copied.append(source)
        if len(copied) == 3:
            raise OSError("the disk is gone")
        copy(source, target)

    monkeypatch.setattr(shutil, "copyfile", fail)
    with pytest.raises(OSError, match="the disk is gone"):
        convert_data.main([str(folder), str(tmp_path / "new"), "--to", "yolo"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "out"]


def test_images_of_one_name_in_several_folders(tmp_path):
    draw(tmp_path / "in" / "x", ["a.jpg"])
    draw(tmp_path / "in" / "y", ["a.jpg"])
    content = coco(["a.jpg", "b.png"])
    for entry, name in zip(content["images"], ("x/a.jpg", "y/a.jpg"), strict=True):
        entry.update(file_name=name, width=SIZES["a.jpg"][0], height=SIZES["a.jpg"][1])
    (tmp_path / "in" / "train.json").write_text(json.dumps(content))
    for to in ("coco", "yolo", "voc"):
        split = converted(tmp_path / "in", tmp_path / to, to).splits["train"]
        assert len(split.images) == 2 and len(split.annotations) == 4
