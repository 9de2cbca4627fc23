"""Both backends make the same training image and annotations of the same draw."""

from __future__ import annotations

import contextlib
import json
from unittest import mock

import numpy as np
import pytest
import torch

pytest.importorskip(
    "detectron2",
    reason="needs detectron2: https://detectron2.readthedocs.io/en/latest/tutorials/install.html",
)
from detectron2.data import transforms as T
from detectron2.data.datasets.coco import load_coco_json

from hiera_det.coco.reader import read_annotations
from hiera_det.coco.records import Annotations, ImageRecord
from hiera_det.data.catalog import DatasetFiles
from hiera_det.data.findings import Findings
from hiera_det.detection.data import transforms
from hiera_det.detection.data.coco import CocoDataset
from hiera_det.detectron2.data import build_mapper, check_classes, classes_of, examine_narrow, register_dataset
from hiera_det.detectron2.trainer import defaults

JITTER = ["INPUT.CROP.ENABLED", "True", "INPUT.CROP.TYPE", "large_scale_jitter", "INPUT.CROP.SIZE", "[0.1, 2.0]"]
SHORTEST = ["INPUT.CROP.ENABLED", "False", "INPUT.MIN_SIZE_TRAIN", "(150,)", "INPUT.MAX_SIZE_TRAIN", "170"]


def both(config, files, index, overrides, share):
    """Image, boxes, labels and masks of both backends; every random draw is the share of its range."""
    cfg = config("quickstart", *overrides)
    names = {key: str(value) for key, value in vars(files).items() if key != "name"}
    entry = sorted(load_coco_json(**names, dataset_name=f"parity_{files.name}"), key=lambda d: d["image_id"])[index]

    def uniform(low=0.0, high=1.0, size=None):
        return low + (high - low) * share

    mapper = build_mapper(cfg)
    with mock.patch("numpy.random.uniform", uniform):
        theirs = mapper(entry)

    dataset = CocoDataset(
        files,
        transforms.build_train_transform(cfg),
        image_format=cfg.INPUT.FORMAT,
        mask_format=cfg.INPUT.MASK_FORMAT if cfg.MODEL.MASK_ON else None,
        filter_empty=False,
    )
    flip = mock.patch("torch.rand", lambda *a, **k: torch.full((1,), share) if a == (1,) else torch.tensor(share))
    with flip, mock.patch.object(transforms, "_uniform", uniform):
        image, target = dataset[dataset.image_ids.index(entry["image_id"]), 0]
    return theirs, image, target


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("overrides", [JITTER, SHORTEST], ids=["jitter", "shortest edge"])
def test_generated_images(config, datasets_root, overrides, share):
    folder = datasets_root / "shapes"
    files = DatasetFiles("shapes", folder / "annotations" / "instances_train.json", folder / "train")
    assert_equal(*both(config, files, 1, overrides, share))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("overrides", [JITTER, SHORTEST], ids=["jitter", "shortest edge"])
def test_real_images(config, shared_data, overrides, share):
    coco = shared_data / "coco"
    files = DatasetFiles("real", coco / "annotations" / "instances_val2017.json", coco / "val2017")
    for index in range(0, 79, 13):
        assert_equal(*both(config, files, index, [*overrides, "INPUT.MASK_FORMAT", "bitmask"], share))


@pytest.mark.parametrize("overrides", [JITTER, SHORTEST], ids=["jitter", "shortest edge"])
@pytest.mark.parametrize(
    "masks", [["MODEL.MASK_ON", "False"], ["INPUT.MASK_FORMAT", "polygon"]], ids=["none", "polygon"]
)
def test_boxes_alone_and_polygons(config, shared_data, overrides, masks):
    coco = shared_data / "coco"
    files = DatasetFiles("real", coco / "annotations" / "instances_val2017.json", coco / "val2017")
    for index in range(0, 79, 13):
        if "polygon" not in masks or not _has_rle(files, index):  # detectron2 takes no RLE with polygons
            assert_equal(*both(config, files, index, [*overrides, *masks], 0.3))


def _has_rle(files, index):
    names = {key: str(value) for key, value in vars(files).items() if key != "name"}
    entry = sorted(load_coco_json(**names, dataset_name="parity_real"), key=lambda d: d["image_id"])[index]
    return any(isinstance(a.get("segmentation"), dict) for a in entry["annotations"])


def assert_equal(theirs, image, target):
    assert torch.equal(theirs["image"], image)
    instances = theirs["instances"]
    assert torch.equal(instances.gt_classes + 1, target["labels"])
    torch.testing.assert_close(instances.gt_boxes.tensor, target["boxes"], rtol=0, atol=1e-3)
    if "masks" in target:
        assert torch.equal(instances.gt_masks.tensor, target["masks"].bool())
    elif "polygons" in target:
        for found, expected in zip(target["polygons"], instances.gt_masks.polygons, strict=True):
            assert len(found) == len(expected)
            for ours, his in zip(found, expected, strict=True):
                assert _same_outline(ours.numpy(), his.reshape(-1, 2))
    else:
        assert not instances.has("gt_masks")


def _same_outline(ours, theirs):
    """The same area and extent: a cut polygon may begin at another vertex."""

    def area(points):
        x, y = points.T
        return abs((x * np.roll(y, 1) - y * np.roll(x, 1)).sum()) / 2

    return np.allclose([*ours.min(0), *ours.max(0)], [*theirs.min(0), *theirs.max(0)], atol=1e-2) and np.isclose(
        area(ours), area(theirs), rtol=1e-3, atol=1e-1
    )


def test_steps(config):
    cfg = config("base_rcnn_fpn")
    steps = build_mapper(cfg).augmentations.augs
    assert [type(step) for step in steps] == [T.RandomFlip, T.ResizeScale, T.FixedSizeCrop]
    assert build_mapper(config("base_rcnn_fpn", "INPUT.RANDOM_FLIP", "vertical")).augmentations.augs[0].vertical
    none = build_mapper(config("base_rcnn_fpn", "INPUT.RANDOM_FLIP", "none")).augmentations.augs
    assert [type(step) for step in none] == [T.ResizeScale, T.FixedSizeCrop]


def test_datasets_of_ones_own(datasets_root, tmp_path):
    folder = datasets_root / "shapes"
    mine = DatasetFiles("mine", folder / "annotations" / "instances_val.json", folder / "val")
    annotations = read_annotations(mine.json_file, mask_format="bitmask")
    assert register_dataset(mine, annotations) == register_dataset(mine, annotations) == "mine"
    other = tmp_path / "mine.json"
    assert register_dataset(DatasetFiles("mine", other, tmp_path), annotations) == f"mine ({other})"


@pytest.mark.parametrize("mask_format", ["bitmask", None])
def test_entries_are_those_of_detectron2(shared_data, mask_format):
    coco = shared_data / "coco"
    files = DatasetFiles("entries", coco / "annotations" / "instances_train2017.json", coco / "train2017")
    name = register_dataset(files, read_annotations(files.json_file, mask_format=mask_format))
    from detectron2.data import DatasetCatalog, MetadataCatalog

    theirs = load_coco_json(str(files.json_file), str(files.image_root), "their_entries")
    assert MetadataCatalog.get(name).thing_classes == MetadataCatalog.get("their_entries").thing_classes
    found = DatasetCatalog.get(name)
    for ours, his in zip(found, sorted(theirs, key=lambda entry: entry["image_id"]), strict=True):
        assert {k: v for k, v in ours.items() if k != "annotations"} == {
            k: v for k, v in his.items() if k != "annotations"
        }
        for mine, its in zip(ours["annotations"], his["annotations"], strict=True):
            assert {k: mine[k] for k in ("iscrowd", "bbox", "category_id")} == {
                k: its[k] for k in ("iscrowd", "bbox", "category_id")
            }
            if mask_format is None:
                assert "segmentation" not in mine
            elif isinstance(its["segmentation"], list):
                for polygon, expected in zip(mine["segmentation"], its["segmentation"], strict=True):
                    np.testing.assert_array_equal(polygon, expected)
            else:
                assert mine["segmentation"] == its["segmentation"]


def test_number_of_classes(datasets_root):
    folder = datasets_root / "shapes"
    files = DatasetFiles("four", folder / "annotations" / "instances_val.json", folder / "val")
    name = register_dataset(files, read_annotations(files.json_file, mask_format=None))
    with pytest.raises(ValueError, match=r"four has 4 categories, but MODEL\.ROI_HEADS\.NUM_CLASSES is 80; set"):
        check_classes(defaults(), [name])
    cfg = defaults()
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 4
    check_classes(cfg, [name])
    cfg.MODEL.META_ARCHITECTURE = "RetinaNet"
    with pytest.raises(ValueError, match=r"MODEL\.RETINANET\.NUM_CLASSES is 80"):
        check_classes(cfg, [name])


def test_twin_names_are_the_checkpoint_s_names(datasets_root, tmp_path):
    folder = datasets_root / "shapes"
    content = json.loads((folder / "annotations" / "instances_val.json").read_text())
    content["categories"][1]["name"] = content["categories"][0]["name"]
    (tmp_path / "twins.json").write_text(json.dumps(content))
    files = DatasetFiles("twins", tmp_path / "twins.json", folder / "val")
    annotations = read_annotations(files.json_file, mask_format=None)
    assert classes_of(register_dataset(files, annotations)) == (annotations.class_names, annotations.category_ids)


def test_images_too_narrow_for_detectron2(tmp_path):
    records = [ImageRecord(1, "narrow.png", 8, 4000), ImageRecord(2, "wide.png", 80, 400)]
    cfg, findings = defaults(), Findings()
    cfg.INPUT.MAX_SIZE_TEST = 200
    examine_narrow(cfg, Annotations("a.json", [1], ["x"], records), findings, training=False)
    (problem,) = findings.problems
    assert "detectron2 cannot resize 1 images, which are too narrow: narrow.png" in problem
    resize = T.ResizeShortestEdge(200, 200, "choice")
    for record, outcome in ((records[1], contextlib.nullcontext()), (records[0], pytest.raises(ValueError))):
        image = np.zeros((record.height, record.width, 3), np.uint8)
        with outcome:
            resize.get_transform(image).apply_image(image)
