"""Region proposals and their losses against detectron2's RPN, on given outputs of the head."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models.detection.image_list import ImageList

from hiera_det.detection.model.rpn import RegionProposals

STRIDES = {"p2": 4, "p3": 8, "p4": 16, "p5": 32, "p6": 64}


class Given(nn.Module):
    """A head that gives what it was given."""

    def __init__(self, case: dict) -> None:
        super().__init__()
        self.outputs = case["logits"], case["deltas"]

    def forward(self, _):
        return self.outputs


@pytest.fixture
def case(tiny):
    return tiny.rpn_case()


@pytest.fixture
def propose(tiny, case):
    def run(training: bool, **overrides):
        rpn = RegionProposals(tiny.config({f"MODEL.RPN.{k}": v for k, v in overrides.items()}), STRIDES, 16)
        rpn.head = Given(case)
        images = ImageList(torch.zeros(2, 3, *case["padded"]), case["image_sizes"])
        features = {name: torch.zeros(2, 16, *x.shape[2:]) for name, x in zip(STRIDES, case["logits"], strict=True)}
        targets = [{"boxes": boxes} for boxes in case["boxes"]] if training else None
        torch.manual_seed(3)
        return rpn.train(training)(images, features, targets)

    return run


@pytest.mark.parametrize("training", [True, False])
def test_proposals(recorded, propose, training):
    """Order by logit through NMS; boxes down to any size above 0; clipped; none empty."""
    proposals, _ = propose(training)
    for i, boxes in enumerate(proposals):
        torch.testing.assert_close(boxes, recorded[f"rpn/{training}/{i}/boxes"], rtol=0, atol=1e-4)
    narrow = torch.cat(proposals)[:, 2] - torch.cat(proposals)[:, 0]
    assert 0 < narrow.min() < 1e-3


def test_losses(recorded, propose):
    """L1, and both divided by the sample asked for: fewer anchors are there than in the sample of 256."""
    _, losses = propose(True)
    assert set(losses) == {"loss_rpn_cls", "loss_rpn_loc"}
    for name, value in losses.items():
        torch.testing.assert_close(value, recorded[f"rpn/{name}"], rtol=1e-6, atol=0)


def test_loss_weights(propose):
    _, plain = propose(True)
    _, weighted = propose(True, LOSS_WEIGHT=3.0, BBOX_REG_LOSS_WEIGHT=0.5)
    torch.testing.assert_close(weighted["loss_rpn_cls"], 3 * plain["loss_rpn_cls"])
    torch.testing.assert_close(weighted["loss_rpn_loc"], 1.5 * plain["loss_rpn_loc"])


def test_matching(tiny, recorded, propose, case):
    """Which anchors are objects, which background, before sampling."""
    rpn = RegionProposals(tiny.config({}), STRIDES, 16)
    features = [torch.zeros(2, 16, *x.shape[2:]) for x in case["logits"]]
    anchors = rpn.anchor_generator(ImageList(torch.zeros(2, 3, *case["padded"]), case["image_sizes"]), features)
    labels, _ = rpn.assign_targets_to_anchors(anchors, [{"boxes": boxes} for boxes in case["boxes"]])
    for i, label in enumerate(labels):
        assert torch.equal(label.to(torch.int8), recorded[f"rpn/labels/{i}"])
    assert {-1, 0, 1} == set(labels[0].tolist())


def test_top_k_by_phase(propose):
    few, _ = propose(True, POST_NMS_TOPK_TRAIN=7, POST_NMS_TOPK_TEST=9)
    assert [len(boxes) for boxes in few] == [7, 7]
    few, _ = propose(False, POST_NMS_TOPK_TRAIN=7, POST_NMS_TOPK_TEST=9)
    assert [len(boxes) for boxes in few] == [9, 9]
    few, _ = propose(False, PRE_NMS_TOPK_TEST=2)
    assert all(len(boxes) <= 2 * len(STRIDES) for boxes in few)


def test_what_is_not_finite_stops_training_and_is_dropped_in_evaluation(propose, case):
    everything, _ = propose(False, NMS_THRESH=1.0, POST_NMS_TOPK_TEST=10**6, PRE_NMS_TOPK_TEST=10**6)
    case["logits"][0][0, 0, 5, 5] = float("nan")
    case["logits"][1][0, 1, 5, 5] = float("inf")
    case["deltas"][1][0, 2, 6, 6] = float("nan")
    fewer, _ = propose(False, NMS_THRESH=1.0, POST_NMS_TOPK_TEST=10**6, PRE_NMS_TOPK_TEST=10**6)
    assert [len(a) - len(b) for a, b in zip(everything, fewer, strict=True)] == [3, 0]
    assert all(boxes.isfinite().all() for boxes in fewer)
    with pytest.raises(FloatingPointError, match="diverged"):
        propose(True)


def test_head_as_detectron2s_at_the_start(tiny):
    head = RegionProposals(tiny.config({"MODEL.FPN.OUT_CHANNELS": 64}), STRIDES, 64).head
    assert len(head.conv) == 2
    for module in head.modules():
        if isinstance(module, nn.Conv2d):
            assert module.weight.std().item() == pytest.approx(0.01, rel=0.1)
            assert not module.bias.any()


def test_levels_must_be_in_the_pyramid(tiny):
    with pytest.raises(ValueError, match=r"RPN.IN_FEATURES: \['p7'\]"):
        RegionProposals(tiny.config({"MODEL.RPN.IN_FEATURES": ["p2", "p7"]}), STRIDES, 16)
