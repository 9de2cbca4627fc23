"""RoIAlign over a pyramid against detectron2's ROIPooler."""

from __future__ import annotations

import pytest
import torch

from hiera_det.detection.model.pooling import PyramidRoIAlign, build_pooling

STRIDES = {"p2": 4, "p3": 8, "p4": 16, "p5": 32}


def test_level_of_each_box(tiny, recorded):
    """Also of boxes that are 3e-7 short of a border, which torchvision's epsilon lifts over it."""
    levels = PyramidRoIAlign(STRIDES, 3, 0).map_levels(tiny.roi_case()["boxes"])
    assert torch.equal(levels, recorded["levels"])
    assert set(levels.tolist()) == {0, 1, 2, 3}


def test_pooled_features(tiny, recorded):
    case = tiny.roi_case()
    pool = PyramidRoIAlign(STRIDES, 3, 0)
    torch.testing.assert_close(pool(case["maps"], case["boxes"]), recorded["pooled"], rtol=1e-5, atol=1e-6)


def test_strides_do_not_depend_on_the_first_batch(tiny, recorded):
    case = tiny.roi_case()
    pool = PyramidRoIAlign(STRIDES, 3, 0)
    pool({name: level[..., :1] for name, level in case["maps"].items()}, case["boxes"], [(9, 9), (9, 9)])
    torch.testing.assert_close(pool(case["maps"], case["boxes"]), recorded["pooled"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_the_corners(tiny, recorded, dtype):
    case = tiny.roi_case()
    with torch.autocast("cpu", dtype):
        pooled = PyramidRoIAlign(STRIDES, 3, 0)({k: v.to(dtype) for k, v in case["maps"].items()}, case["boxes"])
    assert pooled.dtype == dtype
    torch.testing.assert_close(pooled.float(), recorded["pooled"], rtol=0.02, atol=0.02)


def test_no_boxes(tiny):
    maps = {name: level.requires_grad_() for name, level in tiny.roi_case()["maps"].items()}
    pooled = PyramidRoIAlign(STRIDES, 3, 0)(maps, [torch.zeros(0, 4)] * 2)
    assert pooled.shape == (0, 2, 3, 3)
    pooled.sum().backward()
    assert not maps["p2"].grad.any()


@pytest.mark.parametrize("names", [["p2", "p9"], ["p2", "p4"], ["p3", "p2"]])
def test_levels_must_be_neighbours_in_the_pyramid(tiny, names):
    with pytest.raises(ValueError, match="IN_FEATURES"):
        build_pooling(tiny.config({"MODEL.ROI_HEADS.IN_FEATURES": names}), "ROI_BOX_HEAD", STRIDES)
