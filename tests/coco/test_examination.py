"""What is said of a dataset before a run begins."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from hiera_det.coco.examination import Given, examine_datasets
from hiera_det.data.catalog import DatasetFiles
from hiera_det.data.findings import Findings


def _examined(files, split="TRAIN", mask_format="bitmask", num_classes=None):
    findings = Findings()
    examine_datasets({split: Given(files, mask_format)}, findings, num_classes)
    return findings


def _texts(findings, kind):
    return [text for its, text in findings.entries if its == kind]


def test_a_sound_set(write, content):
    findings = _examined(write(content), "TEST")
    assert not findings.problems
    (table,) = _texts(findings, "ok")
    title, *rows = table.splitlines()
    assert title == "tiny (test): 2 images, 1 of them without instances; 2 instances and 1 crowd regions of 2 classes"
    assert [row.split() for row in rows[2:]] == [["boat", "1", "1"], ["kite", "1", "0"]]


def test_real_coco(shared_data):
    coco = shared_data / "coco"
    for split in ("train2017", "val2017"):
        files = DatasetFiles(split, coco / f"annotations/instances_{split}.json", coco / split)
        findings = _examined(files, "TEST", num_classes=80)
        assert not findings.problems
        assert all("have no instance" in note for note in _texts(findings, "note"))


@pytest.mark.parametrize("split", ["TRAIN", "TEST"])
def test_a_missing_file(write, content, split):
    files = write(content)
    (files.image_root / "a.png").unlink()
    (problem,) = _examined(files, split).problems
    assert "1 of 2 image files are not there: a.png" in problem


@pytest.mark.parametrize(
    ("split", "unreadable", "kind"),
    [("TEST", ["b.png"], "problem"), ("TRAIN", ["b.png"], "note"), ("TRAIN", ["a.png", "b.png"], "problem")],
)
def test_an_unreadable_file(write, content, split, unreadable, kind):
    """Training takes others in its place, unless there are many."""
    files = write(content)
    for name in unreadable:
        (files.image_root / name).write_bytes(b"")
    found = _texts(_examined(files, split), kind)
    assert any(
        f"{len(unreadable)} image files cannot be read: " in text and "b.png (0 bytes)" in text for text in found
    )


@pytest.mark.parametrize("split", ["TRAIN", "TEST"])
def test_a_wrong_folder(write, content, split, tmp_path):
    files = write(content)
    (tmp_path / "elsewhere").mkdir()
    findings = _examined(DatasetFiles("tiny", files.json_file, tmp_path / "elsewhere"), split)
    (problem,) = findings.problems
    assert "2 of 2 image files are not there" in problem and "elsewhere: is that the folder?" in problem


def _save(path, height, width, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(path, exif=exif)


def test_a_size_other_than_the_json_s(write, content):
    files = write(content)
    Image.new("RGB", (40, 60)).save(files.image_root / "a.png")
    (problem,) = _examined(files).problems
    assert "1 images are of another size than the JSON says" in problem
    assert "a.png (image 3) has height 60 and width 40, not 40 and 60" in problem


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_size_other_because_of_exif(write, content, orientation):
    files = write(content)
    _save(files.image_root / "a.png", 40, 60, orientation)
    (problem,) = _examined(files).problems
    assert f"after its EXIF orientation {orientation} has turned it" in problem
    _save(files.image_root / "a.png", 60, 40, orientation)  # as it is read it is 40 x 60
    assert not _examined(files).problems


@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_exif_that_the_size_does_not_show(write, content, orientation):
    files = write(content)
    _save(files.image_root / "a.png", 40, 60, orientation)
    (note,) = _texts(_examined(files), "note")
    assert "1 images are turned by their EXIF orientation, which their size does not show" in note
    assert f"a.png (orientation {orientation})" in note


@pytest.mark.parametrize("names", [["boat"], ["boat", "ship"], ["kite", "boat"]])
def test_classes_of_both_sets(write, content, tmp_path, names):
    train = write(content)
    content["categories"] = [{"id": i, "name": name} for i, name in enumerate(names, 1)]
    for annotation in content["annotations"]:
        annotation["category_id"] = 1
    other = tmp_path / "other.json"
    other.write_text(json.dumps(content))
    findings = Findings()
    test = DatasetFiles("other", other, train.image_root)
    examine_datasets({"TRAIN": Given(train, None), "TEST": Given(test, None)}, findings, 80)
    (problem,) = findings.problems  # no advice about NUM_CLASSES, which one of the two would contradict
    assert "instances.json and " in problem and "other.json have different classes" in problem


def test_number_of_classes(write, content):
    (problem,) = _examined(write(content), num_classes=80).problems
    assert "has 2 categories, but MODEL.ROI_HEADS.NUM_CLASSES is 80; set it to 2" in problem


def _boxes(content, change):
    for annotation in content["annotations"]:
        annotation["iscrowd"] = 0
        annotation["bbox"] = change(*annotation["bbox"])
    return content


@pytest.mark.parametrize("overshoot", [0, 0.001])
@pytest.mark.parametrize("mask_format", ["bitmask", None])
def test_boxes_that_are_fractions(write, content, mask_format, overshoot):
    _boxes(content, lambda x, y, w, h: [x / 60 - overshoot, y / 50, w / 60, h / 50 + overshoot])
    (problem,) = _examined(write(content), mask_format=mask_format).problems
    assert "3 of 3 boxes lie within 0 to 1: they are fractions of the image, COCO's are pixels" in problem


def test_corners_that_masks_contradict(write, content):
    _boxes(content, lambda x, y, w, h: [x, y, x + w, y + h])  # the third is the same either way
    (problem,) = _examined(write(content)).problems
    assert "2 of 3 boxes agree with their masks only if they are read as x1, y1, x2, y2; COCO's are x, y, w" in problem


def test_corners_of_large_objects(write, content):
    """As x, y, width, height they overlap their masks well enough."""
    content["annotations"] = content["annotations"][:1]
    content["annotations"][0] |= {"bbox": [3, 3, 57, 37], "segmentation": [[3, 3, 57, 3, 57, 37, 3, 37]]}
    (problem,) = _examined(write(content)).problems
    assert "1 of 1 boxes agree with their masks only if they are read as x1, y1, x2, y2" in problem


def test_boxes_that_no_reading_makes_agree(write, content):
    for annotation in content["annotations"][:2]:
        annotation["bbox"] = [0, 0, 4, 4]
    (problem,) = _examined(write(content)).problems
    assert "2 of 2 boxes disagree with their masks (IoU below 0.5): annotation 1 of a.png" in problem


@pytest.mark.parametrize("segmentation", [{"size": [40, 60], "counts": [2400]}, [[1.0, 1.0] * 3]])
def test_empty_masks(write, content, segmentation):
    content["annotations"][0]["segmentation"] = segmentation
    notes = _texts(_examined(write(content)), "note")
    assert any("1 masks are empty, which training leaves out: annotation 1 of a.png" in note for note in notes)


def test_boxes_beyond_the_image(write, content):
    content["annotations"][0]["bbox"] = [10, 10, 51, 35]
    notes = _texts(_examined(write(content), mask_format=None), "note")
    assert any("1 boxes reach beyond their image, and are clipped in training" in note for note in notes)


def test_images_of_both_sets(write, content):
    given = Given(write(content), None)
    findings = Findings()
    examine_datasets({"TRAIN": given, "TEST": given}, findings)
    assert any("2 of 2 test images are in the training set too" in note for note in _texts(findings, "note"))


def test_corners_that_leave_the_image(write, content):
    content["annotations"] = content["annotations"][:2]
    for annotation, box in zip(content["annotations"], ([20, 15, 59, 38], [40, 30, 48, 36]), strict=True):
        annotation["bbox"] = box
    (problem,) = _examined(write(content), mask_format=None).problems
    assert "2 of 2 boxes reach beyond their image, and would not as x1, y1, x2, y2" in problem


@pytest.mark.parametrize(
    ("change", "reading"),
    [
        (lambda x, y, w, h: [x + w / 2, y + h / 2, w, h], "centre x, centre y, width, height"),
        (lambda x, y, w, h: [y, x, h, w], "y, x, height, width"),
    ],
)
def test_boxes_that_their_masks_contradict(write, content, change, reading):
    content["annotations"] = content["annotations"][1:2]  # one is enough
    _boxes(content, change)
    (problem,) = _examined(write(content)).problems
    assert f"1 of 1 boxes agree with their masks only if they are read as {reading}" in problem


def test_a_single_loose_box_is_a_note(write, content):
    content["annotations"][0]["bbox"] = [0, 0, 60, 40]
    content["annotations"][2]["iscrowd"] = 0
    findings = _examined(write(content))
    assert not findings.problems
    assert any("1 of 3 boxes disagree with their masks" in note for note in _texts(findings, "note"))


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda its: its.clear(), "there are no annotations: nothing to learn from or to evaluate"),
        (lambda its: [it.update(iscrowd=1) for it in its], "none of the 3 instances can be learned from or evaluated"),
        (lambda its: its.pop(1), "1 classes have no instance: boat"),
    ],
)
def test_nothing_to_learn_from(write, content, change, note):
    change(content["annotations"])
    findings = _examined(write(content))
    assert not findings.problems
    assert any(note in text for text in _texts(findings, "note"))


def test_mostly_empty_images(write, content):
    content["images"] += [{"id": i, "file_name": f"{i}.png", "height": 9, "width": 9} for i in range(10, 15)]
    assert any("6 of 7 images have no instance" in text for text in _texts(_examined(write(content)), "note"))


def test_names_that_come_twice(write, content):
    content["categories"][0]["name"] = "boat"
    content["images"][0].update(file_name="a.png", height=40, width=60)
    content["annotations"].pop()
    notes = _texts(_examined(write(content)), "note")
    assert any("several classes have the same name, and are kept apart by their id: boat" in text for text in notes)
    assert any("1 image files are there more than once: a.png" in text for text in notes)


def test_the_rest_is_examined_where_entries_are_wrong(write, content):
    files = write(content)
    content["annotations"][0]["bbox"] = "none"
    content["annotations"][1]["image_id"] = 99
    files.json_file.write_text(json.dumps(content))
    (files.image_root / "a.png").unlink()
    problems = _examined(files, "TEST").problems
    assert len(problems) == 3
    assert "annotation 1: field 'bbox' is 'none'" in problems[0]
    assert "annotation 2: image_id 99" in problems[1]
    assert "1 of 2 image files are not there" in problems[2]


def test_images_that_the_config_cannot_read(write, content):
    files = write(content)
    Image.fromarray(np.zeros((40, 60), np.float32)).save(files.image_root / "a.png", format="TIFF")
    assert any(
        "a.png: its pixels have 32 bits; set INPUT.PIXEL_RANGE" in it for it in _examined(files, "TEST").problems
    )
    findings = Findings()
    examine_datasets({"TEST": Given(files, None)}, findings, reading={"channels": 4, "pixel_range": [0, 1]})
    (problem,) = findings.problems
    assert "b.png: its mode is RGB, but MODEL.PIXEL_MEAN has 4 values: expected four channels" in problem


def test_grey_of_more_than_8_bits_on_detectron2(write, content):
    files = write(content)
    Image.fromarray(np.zeros((40, 60), np.uint16)).save(files.image_root / "a.png")
    for only_8_bits in (False, True):
        findings = Findings()
        examine_datasets({"TEST": Given(files, None)}, findings, only_8_bits=only_8_bits)
        notes = [note for note in _texts(findings, "note") if "1 images have grey of more than 8 bits" in note]
        assert bool(notes) == only_8_bits
