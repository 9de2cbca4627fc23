"""Every format is recognised, and has the same instances."""

from __future__ import annotations

import json
import os

import pytest

from hiera_det.datasets.recognise import read_dataset
from tests.datasets.conftest import (
    MAKERS,
    SIZES,
    coco,
    draw,
    expected,
    found,
    make_coco,
    make_csv,
    make_roboflow,
    make_voc,
    make_yolo,
)


def test_every_format_has_the_same_instances(made):
    name, folder = made
    dataset = read_dataset(folder)
    assert dataset.file_format == name
    (split,) = dataset.splits.values()
    assert found(split) == expected()
    sizes = {entry["file_name"]: (entry["width"], entry["height"]) for entry in split.images}
    assert sizes == SIZES
    assert [entry["name"] for entry in split.categories] == ["cat", "dog"]
    assert all((split.image_root / name).is_file() for name in sizes)
    assert split.has_masks == (name in ("COCO", "masks"))


@pytest.mark.parametrize("file", ["data.yaml", "instances.json", "labels.csv"])
def test_a_file_is_enough(file, tmp_path):
    maker = {"data.yaml": make_yolo, "instances.json": make_coco, "labels.csv": make_csv}[file]
    (split,) = read_dataset(maker(tmp_path / "data") / file).splits.values()
    assert found(split) == expected()


def test_roboflows_root_category_is_dropped(tmp_path):
    dataset = read_dataset(make_roboflow(tmp_path))
    assert list(dataset.splits) == ["train", "val"]
    for split, names in (("train", ["a.jpg", "c.jpg"]), ("val", ["b.png"])):
        its = dataset.splits[split]
        assert [entry["name"] for entry in its.categories] == ["cat", "dog"] and its.json_file is None
        assert found(its) == expected(*names)
        assert its.notes == {"category 0 without annotations, of which the others are kinds, dropped": 1}


@pytest.mark.parametrize("change", ["used", "no parent"])
def test_a_category_0_of_ones_own_stays(change, tmp_path):
    draw(tmp_path)
    content = coco(list(SIZES), root=True)
    if change == "used":
        content["annotations"][0]["category_id"] = 0
    else:
        content["categories"][1]["supercategory"] = "pets"
    (tmp_path / "train.json").write_text(json.dumps(content))
    (split,) = read_dataset(tmp_path).splits.values()
    assert len(split.categories) == 3 and split.json_file == tmp_path / "train.json"


def test_cocos_own_layout(tmp_path):
    for year_split, names in {"train2017": ["a.jpg"], "val2017": ["b.png"]}.items():
        draw(tmp_path / year_split, names)
        (tmp_path / "annotations").mkdir(exist_ok=True)
        for kind in ("instances", "person_keypoints", "captions"):
            path = tmp_path / "annotations" / f"{kind}_{year_split}.json"
            path.write_text(json.dumps(coco(names)))
    dataset = read_dataset(tmp_path)
    assert {name: its.image_root.name for name, its in dataset.splits.items()} == {
        "train": "train2017",
        "val": "val2017",
    }
    one = read_dataset(tmp_path / "annotations" / "instances_val2017.json")
    assert one.splits["val"].image_root == tmp_path / "val2017"


def test_of_several_formats_none_is_guessed(tmp_path):
    make_voc(make_yolo(tmp_path / "data") / "voc")
    make_coco(tmp_path / "data" / "coco")
    (tmp_path / "data" / "coco" / "instances.json").rename(tmp_path / "data" / "instances.json")
    with pytest.raises(ValueError, match=r"data has data of several formats, COCO and YOLO: name the file"):
        read_dataset(tmp_path / "data")


def test_what_is_no_dataset(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no data at .*nowhere; expected a folder"):
        read_dataset(tmp_path / "nowhere")
    draw(tmp_path / "pictures")
    (tmp_path / "notes.txt").write_text("cats")
    with pytest.raises(ValueError, match=r"of no known format; expected COCO's.*it holds pictures/, 1 \.txt"):
        read_dataset(tmp_path)
    with pytest.raises(ValueError, match=r"notes\.txt is no dataset; expected COCO's"):
        read_dataset(tmp_path / "notes.txt")


def test_named_pipes_are_not_opened(tmp_path):
    for name in ("train.json", "data.csv", "data.yaml"):
        os.mkfifo(tmp_path / name)
    with pytest.raises((ValueError, OSError)):
        read_dataset(tmp_path)


def images_of(files):
    return [entry["file_name"] for entry in json.loads(files.json_file.read_text())["images"]]


def test_a_split_is_drawn_by_names(tmp_path):
    folder = MAKERS["YOLO"](tmp_path / "data")
    training, held_out = read_dataset(folder).for_run(tmp_path / "run")
    assert (training.name, held_out.name) == ("train", "val")
    assert len(images_of(held_out)) == 1 and sorted(images_of(training) + images_of(held_out)) == sorted(SIZES)
    assert read_dataset(folder).for_run(tmp_path / "run") == (training, held_out)
    assert read_dataset(folder).for_report(tmp_path / "run") == held_out
    assert sorted((tmp_path / "run" / "data").iterdir()) == sorted([training.json_file, held_out.json_file])


def test_a_split_is_not_drawn_of_one_image(tmp_path):
    draw(tmp_path, ["a.jpg"])
    (tmp_path / "x.json").write_text(json.dumps(coco(["a.jpg"])))
    with pytest.raises(ValueError, match="1 images cannot be split"):
        read_dataset(tmp_path).for_run(tmp_path)


def test_which_splits_are_for_what(tmp_path):
    for split, names in {"train": ["a.jpg"], "valid": ["b.png"], "test": ["c.jpg"]}.items():
        draw(tmp_path / split, names)
        (tmp_path / split / "_annotations.coco.json").write_text(json.dumps(coco(names)))
    dataset = read_dataset(tmp_path)
    files = *dataset.for_run(tmp_path), dataset.for_report(tmp_path)
    assert [its.json_file.parent.name for its in files] == ["train", "valid", "test"]
    assert not (tmp_path / "data").exists()  # what is a COCO JSON already is taken as it is
    (tmp_path / "train" / "_annotations.coco.json").unlink()
    with pytest.raises(ValueError, match=r"has nothing to train on: there are only test, val"):
        read_dataset(tmp_path).for_run(tmp_path)


def test_masks_are_off_where_there_are_none(tmp_path):
    boxes, masks = read_dataset(make_yolo(tmp_path / "a")), read_dataset(make_coco(tmp_path / "b"))
    assert boxes.without_masks([]) == ["MODEL.MASK_ON", False]
    assert boxes.without_masks(["MODEL.MASK_ON", "True"]) == masks.without_masks([]) == []


def test_two_files_of_a_split(tmp_path):
    draw(tmp_path)
    for name in ("train", "my_training"):
        (tmp_path / f"{name}.json").write_text(json.dumps(coco(list(SIZES))))
    with pytest.raises(ValueError, match=r"my_training\.json and .*train\.json are both of train; name the file"):
        read_dataset(tmp_path)


def test_the_folder_of_all_tells_no_split(tmp_path):
    """As a user's may be called: my_test_data."""
    assert list(read_dataset(make_coco(tmp_path / "my test data")).splits) == ["all"]


def test_images_that_are_nowhere(tmp_path):
    (tmp_path / "train.json").write_text(json.dumps(coco(["a.jpg"])))
    with pytest.raises(FileNotFoundError, match=r"train\.json: its images, such as 'a\.jpg', are in none of"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("names", ["url", "backslashes"])
def test_names_of_images_that_are_told_otherwise(names, tmp_path):
    """LVIS', and those of Windows."""
    draw(tmp_path / "train2017", ["a.jpg"])
    content = coco(["a.jpg"])
    (entry,) = content["images"]
    if names == "url":
        del entry["file_name"]
        entry["coco_url"] = "http://images.cocodataset.org/train2017/a.jpg"
    else:
        entry["file_name"] = "train2017\\a.jpg"
    (tmp_path / "lvis_v1_train.json").write_text(json.dumps(content))
    split = read_dataset(tmp_path).splits["train"]
    assert split.image_root == tmp_path and split.json_file == tmp_path / "lvis_v1_train.json"


def test_other_yaml_files_are_no_dataset(tmp_path):
    folder = make_voc(tmp_path / "data")
    (folder / "settings.yaml").write_text("colour: red\n")
    assert read_dataset(folder).file_format == "Pascal VOC"
    (folder / "cells.yaml").write_text("names: [cat, dog]\ntrain: JPEGImages\n")
    with pytest.raises(ValueError, match="several formats, YOLO and Pascal VOC"):
        read_dataset(folder)
    assert found(next(iter(read_dataset(folder / "Annotations").splits.values()))) == expected()
