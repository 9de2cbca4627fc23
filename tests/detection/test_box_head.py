"""Box head: losses and choice of detections against detectron2's FastRCNNOutputLayers, first weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models.detection._utils import BoxCoder

from hiera_det.detection.model.box_head import BoxPredictor, box_losses, build_box_head, select_detections

CODER = BoxCoder((10.0, 10.0, 5.0, 5.0))


@pytest.fixture
def case(tiny):
    """tiny.box_case with torchvision's class order: background is 0."""
    case = tiny.box_case()
    case["logits"] = case["logits"].roll(1, 1)
    case["labels"] = (case["labels"] + 1) % 6
    return case


@pytest.mark.parametrize("beta", [0.0, 0.5])
def test_losses(recorded, case, beta):
    expected = CODER.encode_single(case["gt_boxes"], case["rois"])
    loss_cls, loss_box_reg = box_losses(case["logits"], case["deltas"].view(40, 5, 4), case["labels"], expected, beta)
    torch.testing.assert_close(loss_cls, recorded[f"box/{beta}/loss_cls"], rtol=1e-6, atol=0)
    torch.testing.assert_close(loss_box_reg, recorded[f"box/{beta}/loss_box_reg"], rtol=1e-6, atol=0)


def test_one_box_for_all_classes_has_its_loss_from_the_foreground():
    deltas = torch.randn(3, 1, 4)
    _, loss = box_losses(torch.zeros(3, 6), deltas, torch.tensor([2, 0, 5]), torch.zeros(3, 4), 0.0)
    torch.testing.assert_close(loss, deltas[[0, 2]].abs().sum() / 3)


@pytest.mark.parametrize("count", [0, 4])
def test_gradients_reach_everything_without_foreground(count):
    predictor = BoxPredictor(6, 5, class_agnostic=False)
    logits, deltas = predictor(torch.randn(count, 6))
    losses = box_losses(logits, deltas, torch.zeros(count, dtype=torch.int64), torch.zeros(count, 4), 0.0)
    sum(losses).backward()
    assert all(parameter.grad is not None for parameter in predictor.parameters())
    assert losses[1] == 0


def test_detections(recorded, case):
    """Among them boxes narrower than 0.01 pixels; RoIs with NaN or infinity are dropped, all their boxes."""
    boxes = CODER.decode_single(case["deltas"], case["rois"]).view(40, 5, 4)
    scores = case["logits"].softmax(1)
    boxes[3, 1, 3], scores[4, 3] = float("nan"), float("inf")
    found = select_detections(boxes, scores, (90, 100), score_thresh=0.05, nms_thresh=0.5, limit=60)
    assert torch.equal(found["labels"], recorded["box/detections/labels"])
    torch.testing.assert_close(found["boxes"], recorded["box/detections/boxes"], rtol=0, atol=1e-4)
    torch.testing.assert_close(found["scores"], recorded["box/detections/scores"], rtol=0, atol=1e-6)
    assert 0 < (found["boxes"][:, 2] - found["boxes"][:, 0]).min() < 1e-2


def test_limit(case):
    boxes, scores = torch.rand(40, 1, 4).cumsum(2), case["logits"].softmax(1)
    everything = select_detections(boxes, scores, (9, 9), score_thresh=0.0, nms_thresh=2.0, limit=-1)
    some = select_detections(boxes, scores, (9, 9), score_thresh=0.0, nms_thresh=2.0, limit=7)
    assert len(everything["boxes"]) == 200
    assert torch.equal(some["scores"], everything["scores"][:7])


def test_as_detectron2s_at_the_start(tiny):
    torch.manual_seed(0)
    overrides = {"MODEL.ROI_BOX_HEAD.CONV_DIM": 64, "MODEL.ROI_BOX_HEAD.FC_DIM": 128}
    head, predictor = build_box_head(tiny.config(overrides), 64)
    convs = [layer for layer in head.modules() if isinstance(layer, nn.Conv2d)]
    (linear,) = [layer for layer in head.modules() if isinstance(layer, nn.Linear)]
    assert len(convs) == 4
    for conv in convs:
        assert conv.bias is None
        assert conv.weight.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.05)
    bound = (3 / linear.in_features) ** 0.5
    assert 0.99 * bound < linear.weight.abs().max() <= bound
    assert not linear.bias.any()
    assert predictor.cls_score.weight.shape == (6, 128)
    assert predictor.bbox_pred.weight.shape == (20, 128)
    assert predictor.cls_score.weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert predictor.bbox_pred.weight.std().item() == pytest.approx(0.001, rel=0.1)
    assert not predictor.cls_score.bias.any()
    assert not predictor.bbox_pred.bias.any()


def test_a_head_without_layers(tiny):
    with pytest.raises(ValueError, match="NUM_CONV and NUM_FC"):
        build_box_head(tiny.config({"MODEL.ROI_BOX_HEAD.NUM_CONV": 0, "MODEL.ROI_BOX_HEAD.NUM_FC": 0}), 8)


def test_convolutions_alone(tiny):
    head, predictor = build_box_head(tiny.config({"MODEL.ROI_BOX_HEAD.NUM_FC": 0}), 16)
    logits, deltas = predictor(head(torch.randn(2, 16, 7, 7)))
    assert logits.shape == (2, 6)
    assert deltas.shape == (2, 5, 4)
