"""Anchors against detectron2's DefaultAnchorGenerator."""

from __future__ import annotations

import pytest
import torch
from torchvision.models.detection.image_list import ImageList

from hiera_det.detection.model.anchors import Anchors, build_anchors

SIZES, RATIOS = [[20, 33.5], [47]], [[0.5, 1.0, 2.0], [0.3]]
GRIDS = [torch.zeros(2, 1, 3, 4), torch.zeros(2, 1, 2, 2)]
# As many pixels that image // grid is not the stride.
IMAGES = ImageList(torch.zeros(2, 3, 17, 23), [(17, 23), (15, 20)])


@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_sizes_order_and_strides(recorded, offset):
    first, second = Anchors(SIZES, RATIOS, [4, 8], offset)(IMAGES, GRIDS)
    torch.testing.assert_close(first, recorded[f"anchors/{offset}"], rtol=0, atol=1e-5)
    assert second is first


def test_float32_whatever_the_maps_are():
    (anchors, _) = Anchors(SIZES, RATIOS, [4, 8])(IMAGES, [grid.bfloat16() for grid in GRIDS])
    assert anchors.dtype == torch.float32


def test_one_list_serves_all_levels(tiny):
    cfg = tiny.config({"MODEL.ANCHOR_GENERATOR.SIZES": [[16, 32]]})
    anchors = build_anchors(cfg, [4, 8, 16])
    assert anchors.num_anchors_per_location() == [6, 6, 6]
    assert anchors.sizes == [[16, 32]] * 3


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"MODEL.ANCHOR_GENERATOR.SIZES": [[32], [64]]}, "SIZES has 2 lists.* 5"),
        ({"MODEL.ANCHOR_GENERATOR.SIZES": [[32], [64], [9], [9], [9, 8]]}, "same number"),
    ],
)
def test_lists_that_do_not_fit_the_levels(tiny, overrides, message):
    with pytest.raises(ValueError, match=message):
        build_anchors(tiny.config(overrides), [4, 8, 16, 32, 64])
