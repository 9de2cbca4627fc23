from __future__ import annotations

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch

from hiera_det.coco.records import ImageRecord, Instance
from hiera_det.detection.data.targets import make_sample, make_target

SQUARE = np.array([[2.0, 2.0], [6.0, 2.0], [6.0, 6.0], [2.0, 6.0]])
OUTSIDE = SQUARE + 40


def _rle(mask):
    return mask_util.encode(np.asfortranarray(mask))


def _instance(label, box, segmentation=None):
    return Instance(label, box, (*box[:2], box[2] - box[0], box[3] - box[1]), segmentation)


@pytest.fixture
def record():
    mask = np.zeros((10, 12), np.uint8)
    mask[1:4, 5:11] = 1
    return ImageRecord(
        9,
        "x.png",
        10,
        12,
        [
            _instance(4, (1, 1, 7, 7), [SQUARE]),
            _instance(2, (5, 1, 11, 4), _rle(mask)),
            _instance(3, (40, 40, 44, 44), [OUTSIDE]),
            _instance(1, (3, 3, 9, 9), [OUTSIDE]),
        ],
    )


def test_bitmasks(record):
    target = make_target(record, make_sample(record), (10, 12), mask_format="bitmask", recompute_boxes=False)
    assert (target["image_id"], target["height"], target["width"]) == (9, 10, 12)
    # The third has no area in the image, the fourth no mask pixel in it.
    assert target["labels"].tolist() == [4, 2]
    assert target["labels"].dtype == torch.int64
    assert target["boxes"].tolist() == [[1, 1, 7, 7], [5, 1, 11, 4]]
    assert target["boxes"].dtype == torch.float32
    assert target["masks"].dtype == torch.uint8
    assert target["masks"].shape == (2, 10, 12)
    assert torch.nonzero(target["masks"][0]).aminmax() == (2, 5)
    assert target["masks"][1].sum() == 18
    assert target["masks"][1, 1:4, 5:11].all()
    assert type(target["boxes"]) is type(target["masks"]) is torch.Tensor


def test_boxes_from_masks(record):
    target = make_target(record, make_sample(record), (10, 12), mask_format="bitmask", recompute_boxes=True)
    assert target["boxes"].tolist() == [[2, 2, 6, 6], [5, 1, 11, 4]]
    assert target["labels"].tolist() == [4, 2]


def test_polygons(record):
    record.instances[1].segmentation = [SQUARE / 2, SQUARE + np.array([4, 1])]
    record.instances[3].segmentation = []
    target = make_target(record, make_sample(record), (10, 12), mask_format="polygon", recompute_boxes=False)
    assert target["labels"].tolist() == [4, 2]
    assert [[p.shape for p in instance] for instance in target["polygons"]] == [[(4, 2)], [(4, 2)] * 2]
    np.testing.assert_array_equal(target["polygons"][1][0], SQUARE / 2)
    assert "masks" not in target


def test_boxes_from_polygons(record):
    record.instances[1].segmentation = [SQUARE / 2, SQUARE + np.array([4, 1])]
    record.instances[2].segmentation = record.instances[3].segmentation = []
    target = make_target(record, make_sample(record), (10, 12), mask_format="polygon", recompute_boxes=True)
    assert target["boxes"].tolist() == [[2, 2, 6, 6], [1, 1, 10, 7]]


def test_boxes_only_and_clipped():
    record = ImageRecord(9, "x.png", 10, 12, [_instance(1, (1, 1, 7, 7)), _instance(2, (8, 0, 12, 10))])
    target = make_target(record, make_sample(record), (6, 8), mask_format=None, recompute_boxes=False)
    assert target["boxes"].tolist() == [[1, 1, 7, 6]]
    assert target["labels"].tolist() == [1]
    assert set(target) == {"image_id", "height", "width", "boxes", "labels"}


@pytest.mark.parametrize("recompute", [False, True])
def test_empty_image(recompute):
    record = ImageRecord(9, "x.png", 10, 12)
    sample = make_sample(record)
    target = make_target(record, sample, (10, 12), mask_format="bitmask", recompute_boxes=recompute)
    assert target["boxes"].shape == (0, 4)
    assert target["masks"].shape == (0, 10, 12)
    assert target["labels"].shape == (0,)
    target = make_target(record, sample, (10, 12), mask_format="polygon", recompute_boxes=recompute)
    assert target["boxes"].shape == (0, 4)
    assert target["polygons"] == []
