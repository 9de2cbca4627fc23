"""Mask targets, loss, and pasting against detectron2's masks.py, mask_head.py, mask_ops.py and postprocessing.py."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hiera_det.detection.model.mask_head import build_mask_head, mask_loss, mask_probabilities
from hiera_det.detection.model.mask_targets import mask_targets
from hiera_det.detection.model.pasting import paste_masks, to_output_size


@pytest.mark.parametrize(("mask_format", "field"), [("bitmask", "masks"), ("polygon", "polygons")])
def test_targets(tiny, recorded, unpack, mask_format, field):
    case = tiny.mask_case()
    found = mask_targets({field: case[field]}, case["boxes"], case["matched"], 28)
    assert torch.equal(found, unpack(recorded[f"targets/{mask_format}"], (12, 28, 28)))


def test_the_two_formats_differ(recorded, unpack):
    bitmask, polygon = (unpack(recorded[f"targets/{name}"], (12, 28, 28)) for name in ("bitmask", "polygon"))
    assert 0 < (bitmask != polygon).float().mean() < 0.05


@pytest.mark.parametrize("field", ["masks", "polygons"])
def test_targets_of_no_boxes(field):
    target = {"masks": torch.zeros(0, 9, 9, dtype=torch.uint8), "polygons": []}
    none = torch.zeros(0, dtype=torch.int64)
    assert mask_targets({field: target[field]}, torch.zeros(0, 4), none, 28).shape == (0, 28, 28)


def test_an_instance_without_polygons_has_an_empty_target():
    square = [torch.tensor([[0.0, 0], [8, 0], [8, 8], [0, 8]])]
    boxes = torch.tensor([[0.0, 0, 8, 8]]).repeat(2, 1)
    found = mask_targets({"polygons": [[], square]}, boxes, torch.tensor([0, 1]), 4)
    assert found.flatten(1).all(1).tolist() == [False, True]
    assert not found[0].any()


def test_a_target_without_masks():
    with pytest.raises(KeyError, match="masks"):
        mask_targets({"boxes": None}, torch.zeros(1, 4), torch.zeros(1), 28)


def test_loss_is_of_the_own_class():
    logits, labels = torch.randn(4, 5, 6, 6), torch.tensor([1, 5, 2, 2])
    expected = torch.rand(4, 6, 6) > 0.5
    own = logits[[0, 1, 2, 3], [0, 4, 1, 1]]
    torch.testing.assert_close(
        mask_loss(logits, labels, expected), F.binary_cross_entropy_with_logits(own, expected.float())
    )
    torch.testing.assert_close(mask_probabilities(logits, labels), own.sigmoid())
    torch.testing.assert_close(mask_probabilities(logits[:, :1], labels), logits[:, 0].sigmoid())


def test_gradients_reach_everything_without_foreground(tiny):
    head, predictor = build_mask_head(tiny.config({}), 16)
    logits = predictor(head(torch.randn(0, 16, 14, 14)))
    mask_loss(logits, torch.zeros(0, dtype=torch.int64), torch.zeros(0, 28, 28)).backward()
    assert all(parameter.grad is not None for parameter in [*head.parameters(), *predictor.parameters()])


def test_as_detectron2s_at_the_start(tiny):
    torch.manual_seed(0)
    head, predictor = build_mask_head(tiny.config({"MODEL.ROI_MASK_HEAD.CONV_DIM": 64}), 64)
    convs = [layer for layer in head.modules() if isinstance(layer, nn.Conv2d)]
    assert len(convs) == 2
    for conv in convs:
        assert conv.weight.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.05)
    up, last = predictor.conv5_mask, predictor.mask_fcn_logits
    assert up.weight.std().item() == pytest.approx((2 / (4 * 64)) ** 0.5, rel=0.05)
    assert last.weight.shape == (5, 64, 1, 1)
    assert last.weight.std().item() == pytest.approx(0.001, rel=0.2)
    assert not up.bias.any()
    assert not last.bias.any()


def test_pasting(tiny, recorded, unpack):
    """Boxes with fractions of a pixel, some partly outside."""
    case = tiny.paste_case()
    inside = case["boxes"][:, 0] < 60
    pasted = paste_masks(case["masks"][inside], case["boxes"][inside], (50, 60))
    assert torch.equal(pasted, unpack(recorded["pasted"], (7, 50, 60)))


def test_pasting_nothing():
    assert paste_masks(torch.zeros(0, 14, 14), torch.zeros(0, 4), (5, 6)).shape == (0, 5, 6)


def test_to_output_size(tiny, recorded, unpack):
    """Scaled, clipped, what is empty then dropped, and masks pasted into what is left of the boxes."""
    case = tiny.paste_case()
    given = {name: case[name] for name in ("boxes", "masks", "scores", "labels")}
    found = to_output_size(given, case["input_size"], case["output_size"])
    torch.testing.assert_close(found["boxes"], recorded["output/boxes"], rtol=0, atol=1e-5)
    assert torch.equal(found["scores"], recorded["output/scores"])
    assert found["labels"].tolist() == [1, 2, 3, 5, 6, 7, 8]
    assert found["masks"].shape == (7, 75, 77)
    assert torch.equal(found["masks"].paste(), unpack(recorded["output/masks"], (7, 75, 77)))
    assert torch.equal(torch.stack(list(found["masks"])), found["masks"].paste())
    assert torch.equal(found["masks"].select(found["labels"] > 3).paste(), found["masks"].paste()[3:])
