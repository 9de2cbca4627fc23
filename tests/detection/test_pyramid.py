"""The feature pyramid and its norm against detectron2's FPN and LayerNorm."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hiera_det.detection.model.pyramid import BackboneWithPyramid, norm_layer


def test_layer_norm_over_channels(recorded):
    """Its epsilon, 1e-6, shows on values of 1e-3."""
    import numpy as np

    norm = norm_layer("LN")(6)
    norm.weight.data, norm.bias.data = torch.linspace(0.5, 2, 6), torch.linspace(-1, 1, 6)
    x = torch.tensor(np.random.RandomState(13).standard_normal((2, 6, 3, 4)), dtype=torch.float32)
    torch.testing.assert_close(norm(1e-3 * x), recorded["layer_norm"], rtol=1e-5, atol=1e-5)


def test_layer_norm_is_known_to_the_optimizer_as_one():
    assert isinstance(norm_layer("LN")(6), nn.LayerNorm)
    assert norm_layer("") is None


def test_levels(build, tiny, recorded):
    model = build("vitdet_mask_bitmask")
    batch = model.batching(tiny.images([(40, 50), (33, 70)], 14))
    with torch.no_grad():
        levels = model.backbone(batch.tensors)
    assert list(levels) == ["p2", "p3", "p4", "p5", "p6"]
    for name, level in levels.items():
        torch.testing.assert_close(level[:, ::5], recorded[f"pyramid/{name}"], rtol=0, atol=2e-5)


def test_bias_only_without_norm(tiny):
    plain = BackboneWithPyramid(tiny.TinyBackbone(), ["res2", "res3"], 8, "")
    normed = BackboneWithPyramid(tiny.TinyBackbone(), ["res2", "res3"], 8, "LN")
    assert {"fpn.inner_blocks.2.0.bias", "fpn.layer_blocks.3.0.bias"} <= set(plain.state_dict())
    assert not [name for name in normed.state_dict() if name.startswith("fpn") and ".0.bias" in name]


@pytest.mark.parametrize("names", [["res2", "res3", "res4"], ["res4", "res5"], ["res3"]])
def test_top_level_follows_the_last(tiny, names):
    pyramid = BackboneWithPyramid(tiny.TinyBackbone(), names, 8, "")
    levels = pyramid(torch.randn(1, 3, 128, 64))
    last = int(names[-1][-1])
    assert list(levels) == list(pyramid.strides) == [*(f"p{name[-1]}" for name in names), f"p{last + 1}"]
    assert torch.equal(levels[f"p{last + 1}"], levels[f"p{last}"][..., ::2, ::2])
    assert [128 // stride for stride in pyramid.strides.values()] == [level.shape[2] for level in levels.values()]


@pytest.mark.parametrize(
    ("names", "message"), [(["res2", "res4"], "twice"), (["res3", "res2"], "twice"), (["res9"], "gives"), ([], "gives")]
)
def test_maps_that_make_no_pyramid(tiny, names, message):
    with pytest.raises(ValueError, match=message):
        BackboneWithPyramid(tiny.TinyBackbone(), names, 8, "")
