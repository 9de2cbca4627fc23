"""What each format has of its own, and what is wrong with files of it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from hiera_det.datasets.recognise import read_dataset
from tests.datasets.conftest import (
    SIZES,
    draw,
    expected,
    found,
    make_csv,
    make_labelme,
    make_masks,
    make_voc,
    make_yolo,
)


def one(folder):
    (split,) = read_dataset(folder).splits.values()
    return split


def box_of(entry):
    x, y, w, h = entry["bbox"]
    return (x, y, x + w, y + h)


# Pascal VOC


@pytest.mark.parametrize(
    ("sets", "splits"),
    [
        ({"train": "a\n", "val": "b\n", "test": "c\n"}, {"train": ["a.jpg", "b.png"], "test": ["c.jpg"]}),
        ({"trainval": "a\nb\n", "train": "a\n", "test": "c 1\n"}, {"train": ["a.jpg", "b.png"], "test": ["c.jpg"]}),
        ({"trainval": "a\nb\nc\n"}, {"train": ["a.jpg", "b.png", "c.jpg"]}),
        ({"trainval": "a\nb\nc\n", "val": "b\n"}, {"train": ["a.jpg", "c.jpg"], "val": ["b.png"]}),
        ({"train": "a -1\nc  1\n", "val": "b\n"}, {"train": ["a.jpg", "c.jpg"], "val": ["b.png"]}),
    ],
)
def test_image_sets(sets, splits, tmp_path):
    folder = make_voc(tmp_path) / "ImageSets" / "Main"
    folder.mkdir(parents=True)
    for name, text in sets.items():
        (folder / f"{name}.txt").write_text(text)
    (folder / "cat_train.txt").write_text("a 1\n")  # of a class
    dataset = read_dataset(tmp_path)
    assert {name: found(its) for name, its in dataset.splits.items()} == {k: expected(*v) for k, v in splits.items()}


def test_voc_in_folders_of_splits(tmp_path):
    make_voc(tmp_path / "made")
    for split, stem in (("train", "a.jpg"), ("test", "b.png")):
        draw(tmp_path / "data" / split, [stem])
        xml = stem.split(".")[0] + ".xml"
        (tmp_path / "made" / "Annotations" / xml).rename(tmp_path / "data" / split / xml)
    dataset = read_dataset(tmp_path / "data")
    assert {name: found(its) for name, its in dataset.splits.items()} == {
        "test": expected("b.png"),
        "train": expected("a.jpg"),
    }


def test_difficult_flat_and_zero(tmp_path):
    folder = make_voc(tmp_path)
    path = folder / "Annotations" / "b.xml"
    box = "<bndbox><xmin>5</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>9</ymax></bndbox>"
    hard = f"<object><name>dog</name><difficult>1</difficult>{box.format(4, 9)}</object>"
    flat = f"<object><name>dog</name>{box.format(4, 5)}</object>"
    path.write_text(f"<annotation>{hard}{flat}</annotation>")
    split = one(folder)
    (entry,) = (its for its in split.annotations if its["iscrowd"])
    assert box_of(entry) == (4, 3, 9, 9)
    assert split.notes == {"boxes and masks without area, left out": 1}
    path.write_text(f"<annotation>{hard.replace('<ymin>4', '<ymin>0')}</annotation>")
    crowd = next(its for its in one(folder).annotations if its["iscrowd"])
    assert box_of(crowd) == (5, 0, 9, 9)  # counted from 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation><object>", r"b\.xml: not an XML file"),
        ('<!DOCTYPE a [<!ENTITY x "y">]><annotation/>', r"b\.xml: it has a document type"),
        (
            "<annotation><object><name>dog</name></object></annotation>",
            r"b\.xml: object number 0 lacks a name or bndbox",
        ),
        (
            "<annotation><object><name>a</name><bndbox><xmin>nan</xmin><ymin>1</ymin><xmax>2</xmax><ymax>3</ymax>"
            "</bndbox></object></annotation>",
            r"b\.xml: object number 0 lacks",
        ),
    ],
)
def test_bad_xml(text, message, tmp_path):
    folder = make_voc(tmp_path)
    (folder / "Annotations" / "b.xml").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_dataset(folder)


def test_voc_without_an_image_or_a_file(tmp_path):
    folder = make_voc(tmp_path)
    (folder / "JPEGImages" / "a.jpg").unlink()
    (folder / "ImageSets" / "Main").mkdir(parents=True)
    (folder / "ImageSets" / "Main" / "train.txt").write_text("a\nz\n")
    with pytest.raises(ValueError, match=r"(?s)'z' has no Annotations/z\.xml.*a\.xml: there is no image a\.\* for it"):
        read_dataset(folder)


# YOLO


@pytest.mark.parametrize("prefix", ["", "../"])
def test_yolos_splits_and_roboflows_paths(prefix, tmp_path):
    make_yolo(tmp_path / "made")
    for split, name in (("train", "a.jpg"), ("valid", "b.png")):
        draw(tmp_path / "data" / split / "images", [name])
        (tmp_path / "data" / split / "labels").mkdir()
        text = name.split(".")[0] + ".txt"
        (tmp_path / "made" / "labels" / text).rename(tmp_path / "data" / split / "labels" / text)
    yaml = f"train: {prefix}train/images\nval: {prefix}valid/images\nnc: 2\nnames: {{0: cat, 1: dog}}\n"
    (tmp_path / "data" / "data.yaml").write_text(yaml)
    dataset = read_dataset(tmp_path / "data")
    assert {name: found(its) for name, its in dataset.splits.items()} == {
        "train": expected("a.jpg"),
        "val": expected("b.png"),
    }


def test_yolos_lists_and_path(tmp_path):
    folder = make_yolo(tmp_path / "data")
    (folder / "train.txt").write_text("./images/a.jpg\n\nimages/c.jpg\n")
    (tmp_path / "x.yaml").write_text("path: data\ntrain: [train.txt]\nval: images/b.png\nnames: [cat, dog]\n")
    dataset = read_dataset(tmp_path / "x.yaml")
    assert {name: found(its) for name, its in dataset.splits.items()} == {
        "train": expected("a.jpg", "c.jpg"),
        "val": expected("b.png"),
    }


def test_yolos_polygons(tmp_path):
    folder = make_yolo(tmp_path)
    (folder / "labels" / "b.txt").write_text("1 0 0 0.5 0 0.5 1.005\n0 0.5 0.5 0.5 0\n")
    split = one(folder)
    (entry,) = (its for its in split.annotations if its["image_id"] == 2)
    assert entry["segmentation"] == [[0, 0, 20, 0, 20, 40]] and box_of(entry) == (0, 0, 20, 40)
    assert split.notes == {"boxes and masks without area, left out": 1} and split.has_masks


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 0.2", "3 numbers behind the class, expected 4 of a box, or x and y of 3 points"),
        ("2 0.5 0.5 0.2 0.2", "class 2, expected 0 to 1: names has 2"),
        ("0.5 0.5 0.5 0.2 0.2", "class 0.5, expected 0 to 1"),
        ("0 20 0.5 0.2 0.2", "coordinates outside 0 to 1"),
        ("0 nan 0.5 0.2 0.2", "coordinates outside 0 to 1"),
        ("cat 0.5 0.5 0.2 0.2", "is no line of numbers"),
    ],
)
def test_bad_lines_of_yolo(line, message, tmp_path):
    folder = make_yolo(tmp_path)
    (folder / "labels" / "b.txt").write_text(f"0 0.5 0.5 0.1 0.1\n{line}\n")
    with pytest.raises(ValueError, match=rf"labels/b\.txt, line 2: .*{message}"):
        read_dataset(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: images\n", "names is None, expected a list of classes"),
        ("train: images\nnames: [cat, cat]\n", "names has a class twice"),
        ("train: images\nnames: {1: cat}\n", "expected a list of classes"),
        ("train: images\nnc: 3\nnames: [cat, dog]\n", "nc is 3, but names has 2 classes"),
        ("names: [cat, dog]\n", "names none of train, val and test"),
        ("train: 5\nnames: [cat]\n", "a split is 5, expected a folder"),
        ("train: pictures\nnames: [cat]\n", "no folder or list of images at .*pictures"),
        ("train: labels\nnames: [cat]\n", "there are no images in 'labels', its train"),
        ("train: *x\n", "data.yaml"),
    ],
)
def test_bad_data_yaml(text, message, tmp_path):
    folder = make_yolo(tmp_path)
    (folder / "data.yaml").write_text(text)
    with pytest.raises((ValueError, OSError), match=message):
        read_dataset(folder)


# LabelMe


def test_labelmes_shapes(tmp_path):
    folder = make_labelme(tmp_path)
    shapes = [
        {"label": "cat", "points": [[0, 0], [4, 0], [4, 4]], "group_id": 1, "shape_type": "polygon"},
        {"label": "cat", "points": [[10, 10], [14, 20]], "group_id": 1, "shape_type": "rectangle"},
        {"label": "dog", "points": [[20, 20], [20, 25]], "shape_type": "circle"},
        {"label": "dog", "points": [[1, 1]], "shape_type": "point"},
        {"label": "dog", "points": [[1, 1], [2, 2]], "shape_type": "polygon"},
    ]
    (folder / "b.json").write_text(json.dumps({"shapes": shapes, "imagePath": "..\\b.png"}))
    split = one(folder)
    number = next(entry["id"] for entry in split.images if entry["file_name"] == "b.png")
    cat, circle = (its for its in split.annotations if its["image_id"] == number)
    assert box_of(cat) == (0, 0, 14, 20) and len(cat["segmentation"]) == 2
    assert box_of(circle) == (15, 15, 25, 25)
    assert split.notes == {"shapes of kind point, left out": 1, "shapes of too few points, left out": 1}


def test_labelme_without_a_json_or_an_image(tmp_path):
    folder = make_labelme(tmp_path)
    (folder / "c.json").unlink()
    assert found(one(folder)) == expected()
    (folder / "a.jpg").unlink()
    (folder / "b.json").write_text('{"shapes": [{"points": [[1, 2]]}]}')
    with pytest.raises(ValueError, match=r"(?s)a\.json: there is no image 'a\.jpg' beside it.*b\.json: not LabelMe's"):
        read_dataset(folder)


# CSV


def test_retinanets_rows(tmp_path):
    draw(tmp_path / "pictures")
    rows = "pictures/a.jpg,4,6,20,30,cat\npictures/b.png,0,0,40,40,dog\npictures/c.jpg,,,,,\n"
    (tmp_path / "train.csv").write_text(rows)
    assert found(read_dataset(tmp_path).splits["train"]) == {
        "a.jpg": [("cat", (4, 6, 20, 30))],
        "b.png": [("dog", (0, 0, 40, 40))],
        "c.jpg": [],
    }


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("z.jpg,1,1,cat,1,1,2,2", "line 2: there is no image 'z.jpg'"),
        ("a.jpg,1,1,,1,1,2,2", "line 2: it names no class"),
        (",1,1,cat,1,1,2,2", "line 2: it names no image"),
        ("a.jpg,1,1,cat,1,1,2,x", "line 2: corners '1,1,2,x', expected four numbers"),
        ("a.jpg,1,1,cat,1,1,2,inf", "line 2: corners"),
        ("a.jpg,1,1", "line 2: 3 columns, expected 8"),
        ('a.jpg,1,1,"cat,1,1,2,2', "not a CSV file"),
    ],
)
def test_bad_rows(row, message, tmp_path):
    folder = make_csv(tmp_path)
    (folder / "labels.csv").write_text(f"filename,width,height,class,xmin,ymin,xmax,ymax\n{row}\n")
    with pytest.raises(ValueError, match=rf"labels\.csv, {message}" if message.startswith("line") else message):
        read_dataset(folder)


# masks


def test_masks_of_one_class(tmp_path):
    draw(tmp_path / "images", ["b.png"])
    (tmp_path / "masks").mkdir()
    mask = np.zeros((40, 40), np.uint16)
    mask[5:10, 5:10], mask[20:30, 0:40], mask[30:35, 0:5] = 700, 3, 3
    Image.fromarray(mask).save(tmp_path / "masks" / "b_mask.png")
    split = one(tmp_path)
    assert found(split) == {"b.png": [("object", (0, 20, 40, 35)), ("object", (5, 5, 10, 10))]}
    assert sorted(entry["area"] for entry in split.annotations) == [25, 425]


def test_bad_masks(tmp_path):
    folder = make_masks(tmp_path)
    Image.new("L", (5, 5)).save(folder / "masks" / "cat" / "a.png")
    Image.new("RGB", SIZES["b.png"]).save(folder / "masks" / "dog" / "b.png")
    Image.new("L", (5, 5)).save(folder / "masks" / "dog" / "z.png")
    with pytest.raises(ValueError) as error:
        read_dataset(folder)
    for part in ("it is of 5 x 5 pixels, its image of 64 x 48", "it has 3 channels, expected one", "no image z in"):
        assert part in str(error.value)
