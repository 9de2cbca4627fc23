"""The windowed layout is SAM 2's trunk: the shipped configs are equal to timm's HieraDet in its four configurations."""

from __future__ import annotations

import pytest
import torch

from hiera_det import HieraBackbone
from hiera_det.config import load_config

timm = pytest.importorskip("timm", reason="pip install timm")
HieraDet = pytest.importorskip("timm.models.hieradet_sam2").HieraDet

SIZES = {"t": "tiny", "s": "small", "b_plus": "base_plus", "l": "large"}
# Windows that tile (14 tokens of 16 pixels = 224), that need padding, and a side shorter than a window.
OTHER_SHAPES = [(224, 224), (448, 96)]


def carry(trunk, ours):
    """The trunk's weights, under the same names, into ours; a classifier's norm and head stay behind."""
    state = {key: value for key, value in trunk.state_dict().items() if not key.startswith(("head.", "norm."))}
    ours.load_state_dict(state, strict=True, assign=True)
    return ours.eval()


def both(size, redraw):
    """Timm's trunk with weights redrawn, and the backbone of the shipped config with the same ones."""
    with torch.device("meta"):
        trunk = timm.create_model(f"sam2_hiera_{SIZES[size]}", pretrained=False, num_classes=0).eval()
        ours = HieraBackbone.from_config(load_config(f"mask_rcnn_sam2.1_{size}"))
    redraw(trunk)
    return trunk, carry(trunk, ours)


def assert_equal(trunk, ours, shape, relative_error):
    x = torch.randn(1, 3, *shape, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = trunk.forward_intermediates(x, intermediates_only=True)
        got = ours(x)
    assert list(got) == ["res2", "res3", "res4", "res5"]
    for ours_map, trunk_map in zip(got.values(), expected, strict=True):
        assert relative_error(ours_map, trunk_map) < 1e-4


@pytest.mark.parametrize("size", SIZES)
def test_the_shipped_configs_are_sam2s_trunks(size, redraw, relative_error):
    trunk, ours = both(size, redraw)
    for shape in [(384, 512), *(OTHER_SHAPES if size == "t" else [])]:
        assert_equal(trunk, ours, shape, relative_error)


@pytest.mark.parametrize("size", ["t", *(pytest.param(size, marks=pytest.mark.slow) for size in ("s", "b_plus", "l"))])
def test_the_shipped_configs_at_the_size_of_training(size, redraw, relative_error):
    assert_equal(*both(size, redraw), (1024, 1024), relative_error)


def test_every_tensor_counts(redraw, relative_error):
    arguments = {"embed_dim": 16, "num_heads": 1, "stages": (1, 2, 3, 1)}
    trunk = HieraDet(**arguments, window_spec=(8, 4, 6, 3), global_att_blocks=(4,), num_classes=0).eval()
    redraw(trunk)
    backbone = HieraBackbone(
        "hiera_tiny_224", **arguments, window_sizes=(8, 4, 6, 3), global_blocks=(4,), pos_embed_size=(7, 7)
    )
    ours = carry(trunk, backbone)
    x = torch.randn(1, 3, 96, 160, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = trunk.forward_intermediates(x, intermediates_only=True)
        assert max(relative_error(a, b) for a, b in zip(ours(x).values(), expected, strict=True)) < 1e-4
        for name, parameter in ours.named_parameters():
            kept = parameter.data.clone()
            parameter.data[..., 0] += 1.0
            spoiled = list(ours(x).values())
            parameter.data = kept
            assert max(relative_error(a, b) for a, b in zip(spoiled, expected, strict=True)) > 5e-4, name
