from __future__ import annotations

import gzip
import json

import numpy as np
import pycocotools.mask as mask_util
import pytest

from hiera_det.coco.json_file import AnnotationError
from hiera_det.coco.polygons import rasterize
from hiera_det.coco.reader import read_annotations, read_file_names


def _read(write, content, mask_format="bitmask"):
    return read_annotations(write(content).json_file, mask_format=mask_format)


def _labels(record):
    """Of what is trained on."""
    return [it.label for it in record.for_training().instances]


def test_reads_ids_names_boxes_polygons(write, content):
    found = _read(write, content)
    assert found.category_ids == [5, 90]
    assert found.class_names == ["boat", "kite"]
    first, second = found.records
    assert (first.image_id, first.file_name, first.height, first.width) == (3, "a.png", 40, 60)
    assert [it.box for it in first.instances] == [(10, 10, 30, 30), (40, 30, 48, 36)]
    assert _labels(first) == [2, 1]
    np.testing.assert_array_equal(first.instances[1].segmentation[0], [[40, 30], [48, 30], [44, 36]])
    assert [it.crowd for it in second.instances] == [True]
    assert _labels(second) == []


def test_boxes_only_ignores_masks(write, content):
    del content["annotations"][0]["segmentation"]
    found = _read(write, content, mask_format=None)
    assert _labels(found.records[0]) == [2, 1]
    assert [it.segmentation for it in found.records[0].instances] == [None, None]


def test_boxes_are_clipped_and_empty_ones_dropped(write, content):
    content["annotations"][0]["bbox"] = [-5, 35, 20, 20]
    content["annotations"][1]["bbox"] = [70, 10, 5, 5]  # beyond the right border
    found = _read(write, content)
    assert [it.box for it in found.records[0].for_training().instances] == [(0, 35, 15, 40)]
    assert [it.bbox for it in found.records[0].instances] == [(-5, 35, 20, 20), (70, 10, 5, 5)]  # an evaluation's
    assert found.notes == ["1 instances whose box has no area inside the image, not trained on"]


@pytest.mark.parametrize("box", [[10, 10, 0, 5], [10, 10, 5, -3], [10, 10, 5, 1e-6]])
def test_flat_boxes_are_dropped(write, content, box):
    content["annotations"][0]["bbox"] = box
    assert _labels(_read(write, content).records[0]) == [1]


def test_polygons_of_two_points_are_dropped(write, content):
    content["annotations"][0]["segmentation"].append([1.0, 1.0, 2.0, 2.0])
    content["annotations"][1]["segmentation"] = [[1.0, 1.0, 2.0, 2.0], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]]
    found = _read(write, content)
    assert _labels(found.records[0]) == [2]
    assert len(found.records[0].instances[0].segmentation) == 1
    assert "1 instances without a polygon of at least 3 points, left out" in found.notes
    assert "3 polygons without three points, left out" in found.notes


def test_no_instance_with_a_mask(write, content):
    for annotation in content["annotations"][:2]:
        annotation["segmentation"] = []
    with pytest.raises(ValueError, match=r"none of the 2 instances has a mask; with MODEL\.MASK_ON False") as error:
        _read(write, content)
    assert "instances.json" in str(error.value)
    assert _labels(_read(write, content, mask_format=None).records[0]) == [2, 1]


@pytest.mark.parametrize("compressed", [True, False])
def test_rle(write, content, compressed):
    mask = np.zeros((40, 60), np.uint8)
    mask[5:9, 20:31] = 1
    counts = [20 * 40 + 5, *([4, 36] * 10), 4, 29 * 40 + 31]
    rle = mask_util.encode(np.asfortranarray(mask))
    value = {"size": [40, 60], "counts": rle["counts"].decode() if compressed else counts}
    content["annotations"][0]["segmentation"] = value
    found = _read(write, content).records[0].instances[0].segmentation
    np.testing.assert_array_equal(mask_util.decode(found), mask)


def test_rle_as_polygon_says_what_to_set(write, content):
    content["annotations"][1]["segmentation"] = {"size": [40, 60], "counts": [2400]}
    with pytest.raises(ValueError, match=r"annotation 2: .*RLE.*set INPUT.MASK_FORMAT bitmask"):
        _read(write, content, mask_format="polygon")


DELETE = object()


def _set(content, path, value):
    """Set the field at ``path`` of a JSON's content, or take it out."""
    parent = content
    for key in path[:-1]:
        parent = parent[key]
    if value is DELETE:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("annotations",), DELETE, "there is no 'annotations'.*test set"),
        (("images",), {}, "'images' is a dict, expected a list"),
        (("categories",), [], "'categories' is empty"),
        (("images",), [], "'images' is empty"),
        (("images", 0, "id"), DELETE, "image number 0: field 'id' is missing"),
        (("images", 0, "height"), "5O", "image 7: field 'height' is '5O', expected int"),
        (("images", 0, "width"), 0, "image 7: height 50 and width 0"),
        (("images", 0, "file_name"), DELETE, "image 7: field 'file_name' is missing"),
        (("images", 0, "id"), 3, "image 3: this id occurs twice"),
        (("categories", 0, "name"), DELETE, "category 90: field 'name' is missing"),
        (("categories", 0, "id"), 5, "category 5: this id occurs twice"),
        (("annotations", 1), 4, "annotation number 1: expected an object, got 4"),
        (("annotations", 1, "id"), 1, r"image 3 \(a.png\), annotation 1: this id occurs twice"),
        (("annotations", 1, "image_id"), 99, "annotation 2: image_id 99 is not among the images"),
        (("annotations", 1, "category_id"), 6, "annotation 2: category_id 6 is not among the categories"),
        (("annotations", 1, "category_id"), "five", "annotation 2: field 'category_id' is 'five', expected int"),
        (("annotations", 1, "bbox"), [1, 2, 3], "annotation 2: field 'bbox' is .*expected 4 finite"),
        (("annotations", 1, "bbox"), [1, 2, 3, None], "annotation 2: field 'bbox' is .*expected 4 finite"),
        (("annotations", 1, "bbox"), [1, 2, 3, float("nan")], "annotation 2: field 'bbox' is .*finite"),
        (("annotations", 1, "iscrowd"), 2, "annotation 2: field 'iscrowd' is 2"),
        (("annotations", 1, "segmentation"), DELETE, "annotation 2: field 'segmentation' is missing"),
        (("annotations", 1, "segmentation"), None, "annotation 2: field 'segmentation' is None.*MODEL.MASK_ON False"),
        (("annotations", 1, "segmentation"), [1, 2, 3], "annotation 2: field 'segmentation' is not a list of"),
        (("annotations", 1, "segmentation"), [["x"] * 6], "annotation 2: field 'segmentation' is not a list"),
        (("annotations", 1, "segmentation"), {"size": [60, 40], "counts": [2400]}, "annotation 2: RLE 'size'"),
        (("annotations", 1, "segmentation"), {"size": [40, 60], "counts": [7]}, "annotation 2: RLE .* add up to 7"),
        (("annotations", 1, "segmentation"), {"size": [40, 60]}, "annotation 2: RLE 'counts' is a NoneType"),
    ],
)
def test_wrong_fields_are_named(write, content, path, value, message):
    files = write(content)
    _set(content, path, value)
    files.json_file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as error:
        read_annotations(files.json_file, mask_format="bitmask")
    assert str(files.json_file) in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "\x00\x01"])
def test_not_json(tmp_path, text):
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"broken.json: (not a JSON file|expected an object)"):
        read_annotations(path, mask_format=None)


def test_all_problems_are_named_at_once(write, content):
    content["annotations"] = [{**content["annotations"][0], "id": i, "bbox": [1, 2]} for i in range(1, 13)]
    with pytest.raises(AnnotationError) as caught:
        _read(write, content)
    assert len(caught.value.problems) == 12
    lines = str(caught.value).splitlines()
    assert len(lines) == 11 and "image 3 (a.png), annotation 10: field 'bbox' is [1, 2]" in lines[9]
    assert lines[-1].strip() == "and 2 more"


@pytest.mark.parametrize(
    ("path", "value", "note"),
    [
        (("annotations", 0, "id"), 0, None),
        (("annotations", 0, "id"), "a1b2-c3", None),
        (("annotations", 0, "id"), DELETE, "1 annotations without an id"),
        (("annotations", 0, "id"), None, "1 annotations without an id"),
        (("annotations", 0, "image_id"), "3", "1 integers that are written as text"),
        (("annotations", 0, "category_id"), 90.0, "1 integers that are written as decimal numbers"),
        (("annotations", 0, "category_id"), "90.0", "1 integers that are written as text"),
        (("images", 1, "height"), 40.0, "1 integers that are written as decimal numbers"),
        (("images", 1, "id"), "3", "1 integers that are written as text"),
        (("annotations", 0, "bbox"), ["10", 10, 20, 20], "1 coordinates that are written as text"),
        (("annotations", 0, "iscrowd"), None, None),
        (("annotations", 0, "iscrowd"), False, None),
        (("annotations", 0, "iscrowd"), "0", "1 integers that are written as text"),
        (("annotations", 0, "ignore"), 0, None),
        (("annotations", 0, "area"), None, None),
        (("annotations", 0, "area"), "", "1 areas that are no numbers from 0 to 1e10, computed"),
        (("annotations", 0, "area"), -1, "1 areas that are no numbers from 0 to 1e10, computed"),
        (("annotations", 0, "area"), 1e308, "1 areas that are no numbers from 0 to 1e10, computed"),
        (("annotations", 0, "bbox"), DELETE, "1 boxes that are missing, taken from the mask"),
        (("annotations", 0, "bbox"), None, "1 boxes that are missing, taken from the mask"),
        (("images", 1, "file_name"), "a.png", None),
        (("annotations", 0, "area"), 10**400, "1 areas that are no numbers from 0 to 1e10, computed"),
    ],
)
def test_what_has_one_meaning_is_taken(write, content, path, value, note):
    expected = _read(write, content)
    _set(content, path, value)
    images = [{**image, "id": int(image["id"]), "height": int(image["height"])} for image in content["images"]]
    files = write(content | {"images": images})
    files.json_file.write_text(json.dumps(content))
    found = read_annotations(files.json_file, mask_format="bitmask")
    assert found.notes == ([note] if note else [])
    for ours, theirs in zip(found.records, expected.records, strict=True):
        assert (ours.image_id, ours.height, ours.width) == (theirs.image_id, theirs.height, theirs.width)
        assert [(it.label, it.box, it.bbox, it.crowd, it.area) for it in ours.instances] == [
            (it.label, it.box, it.bbox, it.crowd, it.area) for it in theirs.instances
        ]


@pytest.mark.parametrize("value", [1, True, "1", 1.0])
def test_ignore_becomes_iscrowd(write, content, value):
    content["annotations"][0]["ignore"] = value
    found = _read(write, content)
    assert [it.crowd for it in found.records[0].instances] == [True, False]
    assert any(note.startswith("1 instances marked 'ignore', taken for crowd regions") for note in found.notes)


TRIANGLE = [40.0, 30.0, 48.0, 30.0, 44.0, 36.0]
POINTS = [[40.0, 30.0], [48.0, 30.0], [44.0, 36.0]]


@pytest.mark.parametrize(
    ("value", "note"),
    [
        (TRIANGLE, "1 polygons that are not in a list"),
        (POINTS, "1 polygons that are not in a list"),
        ([POINTS], "1 polygons that list points in place of numbers"),
        ([[], TRIANGLE], "1 polygons without three points, left out"),
        ([[40.0, 30.0, 48.0, 30.0], TRIANGLE], "1 polygons without three points, left out"),
        ([TRIANGLE, None], "1 polygons that are null, left out"),
        ([[str(value) for value in TRIANGLE]], "6 coordinates that are written as text"),
        ([[int(value) for value in TRIANGLE]], None),
    ],
)
def test_polygons_of_other_shapes(write, content, value, note):
    content["annotations"][1]["segmentation"] = value
    found = _read(write, content)
    (polygon,) = found.records[0].instances[1].segmentation
    np.testing.assert_array_equal(polygon, POINTS)
    assert found.notes == ([note] if note else [])


@pytest.mark.parametrize("far", [1e9, -1e9, 1e300])
def test_polygons_that_reach_far_out_are_clipped(write, content, far):
    content["annotations"][0]["segmentation"] = [[10.0, 10.0, far, 10.0, far, 30.0, 10.0, 30.0]]
    found = _read(write, content)
    polygons = found.records[0].instances[0].segmentation
    assert np.abs(np.concatenate(polygons)).max() <= 120
    mask = rasterize(polygons, 40, 60)  # in C, which trusts what it gets
    assert mask[:, :9].any() == (far < 0) and mask[:, 11:].any() == (far > 0)
    assert mask.sum() == 20 * (10 if far < 0 else 50)
    assert found.notes == ["1 polygons that reach far beyond their image, clipped"]


def test_an_endless_outline_is_refused(write, content):
    zigzag = [value for i in range(30_000) for value in ((0.0 if i % 2 else 119.0), 1.0)]
    content["annotations"][0]["segmentation"] = [zigzag]
    with pytest.raises(ValueError, match=r"annotation 1: .* outline is longer than"):
        _read(write, content)


@pytest.mark.parametrize("box", [[1e308, 1e308, 1e308, 1e308], [0, 0, 1e9, 1e9]])
def test_boxes_that_reach_far_out_are_clipped(write, content, box):
    content["annotations"][0]["bbox"] = box
    first = _read(write, content).records[0].instances[0]
    assert max(first.bbox) <= 60 and first.box[2:] == (60, 40)


@pytest.mark.parametrize("number", [10**400, -(10**400), "1e999", True, [1]], ids=lambda value: str(value)[:9])
def test_numbers_of_any_length(write, content, number):
    content["annotations"][0]["bbox"] = [number, 1, 2, 3]
    content["annotations"][1]["segmentation"] = [[number, *TRIANGLE[1:]]]
    with pytest.raises(AnnotationError) as caught:
        _read(write, content)
    box, mask = caught.value.problems
    assert "annotation 1: field 'bbox'" in box and "annotation 2: field 'segmentation'" in mask
    assert len(str(caught.value)) < 800


def test_lvis_images_go_by_their_url(write, content):
    files = write(content)
    for image in content["images"]:
        image["coco_url"] = f"http://images.cocodataset.org/train2017/{image.pop('file_name')}"
    files.json_file.write_text(json.dumps(content))
    found = read_annotations(files.json_file, mask_format=None)
    assert [record.file_name for record in found.records] == ["train2017/a.png", "train2017/b.png"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings(write, content, encoding):
    content["categories"][0]["name"] = "Zähler"
    files = write(content)
    files.json_file.write_bytes(json.dumps(content, ensure_ascii=False).encode(encoding))
    assert read_annotations(files.json_file, mask_format=None).class_names == ["boat", "Zähler"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: gzip.compress(data), "gzip"),
        (lambda data: data.decode().replace("kite", "风筝").encode("gbk"), "not UTF-8"),
        (lambda data: b'{"images": ' + b"[" * 100_000, "nested too deeply"),
        (lambda data: data.replace(b'"id": 1', b'"id": ' + b"9" * 5000), "not a JSON file"),
    ],
)
def test_files_that_are_no_json(write, content, damage, message):
    files = write(content)
    files.json_file.write_bytes(damage(files.json_file.read_bytes()))
    with pytest.raises(ValueError, match=message) as caught:
        read_annotations(files.json_file, mask_format=None)
    assert str(files.json_file) in str(caught.value)


def test_names_of_files_alone(write, content):
    files = write(content)
    images = [{key: image[key] for key in ("id", "file_name")} for image in content["images"]]
    files.json_file.write_text(json.dumps({"images": images}))
    assert read_file_names(files.json_file) == {3: "a.png", 7: "b.png"}


def test_a_missing_box_without_masks(write, content):
    del content["annotations"][1]["bbox"]
    with pytest.raises(ValueError, match="annotation 2: field 'bbox' is missing"):
        _read(write, content, mask_format=None)


def test_an_rle_in_a_list(write, content):
    content["annotations"][1]["segmentation"] = [{"size": [40, 60], "counts": [2399, 1]}]
    found = _read(write, content)
    assert mask_util.area(found.records[0].instances[1].segmentation) == 1
    assert found.notes == ["1 RLE masks that are in a list"]


@pytest.mark.parametrize("segmentation", [[], None])
def test_a_crowd_without_a_mask_stays_for_boxes(write, content, segmentation):
    content["annotations"][2]["segmentation"] = segmentation
    (crowd,) = _read(write, content).records[1].instances
    assert crowd.crowd and crowd.segmentation is None


def test_names_of_other_systems(write, content):
    files = write(content)
    content["categories"][0]["name"] = 7
    content["images"][0]["file_name"] = "sub\\b.png"
    content["images"][1] |= {"file_name": None, "coco_url": "http://x/val2017/a.png"}
    files.json_file.write_text(json.dumps(content))
    found = read_annotations(files.json_file, mask_format=None)
    assert found.class_names == ["boat", "7"]
    assert [record.file_name for record in found.records] == ["val2017/a.png", "sub/b.png"]
    assert found.notes == ["1 class names that are numbers", "1 file names with backslashes, taken for slashes"]


def test_a_bad_image_is_named_once(write, content):
    files = write(content)
    del content["images"][1]["width"]
    files.json_file.write_text(json.dumps(content))
    with pytest.raises(AnnotationError) as caught:
        read_annotations(files.json_file, mask_format=None)
    assert caught.value.problems == ["image number 1: image 3: field 'width' is missing"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:1", "pointer of Git LFS"),
        ("<!DOCTYPE html>", "begins as HTML or XML"),
        ("", "it is empty"),
        ('{"_via_settings": {}, "_via_img_metadata": {}}', "no 'images' but '_via_settings', '_via_img_metadata'"),
    ],
)
def test_files_of_other_kinds(tmp_path, text, message):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_annotations(path, mask_format=None)
