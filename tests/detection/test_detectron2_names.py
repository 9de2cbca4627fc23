"""Parameter names against detectron2's checkpoints."""

from __future__ import annotations

import torch

from hiera_det.detection.model.detectron2_names import from_detectron2, to_detectron2


def test_names_and_shapes(build, recorded_names, name):
    state = to_detectron2(build(name).state_dict())
    assert {key: list(value.shape) for key, value in state.items()} == recorded_names[name]


def test_round_trip(build, name):
    state = build(name).state_dict()
    back = from_detectron2(to_detectron2(state))
    assert list(back) == list(state)
    assert all(torch.equal(back[key], state[key]) for key in state)


def test_background_moves_from_the_last_row_to_the_first():
    theirs = {f"roi_heads.box_predictor.cls_score.{part}": torch.arange(4.0) for part in ("weight", "bias")}
    ours = from_detectron2(theirs)
    assert [value.tolist() for value in ours.values()] == [[3, 0, 1, 2]] * 2
    assert [value.tolist() for value in to_detectron2(ours).values()] == [[0, 1, 2, 3]] * 2


def test_backbone_and_unknown_names_stay():
    state = {"backbone.bottom_up.blocks.0.attn.qkv.weight": torch.ones(1), "what.is.this": torch.ones(1)}
    assert list(to_detectron2(state)) == list(from_detectron2(state)) == list(state)
