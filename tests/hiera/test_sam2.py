"""The windowed layout is SAM 2's trunk: equality with timm's HieraDet in its own four configurations."""

from __future__ import annotations

import pytest
import torch

from hiera_det import HieraBackbone

timm = pytest.importorskip("timm", reason="pip install timm")
HieraDet = pytest.importorskip("timm.models.hieradet_sam2").HieraDet

WINDOWS = {"tiny": (8, 4, 14, 7), "small": (8, 4, 14, 7), "base_plus": (8, 4, 14, 7), "large": (8, 4, 16, 8)}
# Windows that tile (14 tokens of 16 pixels = 224), that need padding, and a side shorter than a window.
SHAPES = [(224, 224), (256, 320), (448, 96)]


def carry(trunk, ours):
    """The trunk's weights, under the same names, into ours; a classifier's norm and head stay behind."""
    state = {key: value for key, value in trunk.state_dict().items() if not key.startswith(("head.", "norm."))}
    ours.load_state_dict(state, strict=True, assign=True)
    return ours.eval()


@pytest.mark.parametrize("size", WINDOWS)
def test_equals_sam2_trunk(size, redraw, relative_error):
    with torch.device("meta"):
        trunk = timm.create_model(f"sam2_hiera_{size}", pretrained=False, num_classes=0).eval()
        background = tuple(trunk.pos_embed.shape[-2:])
        ours = HieraBackbone(f"hiera_{size}_224", window_sizes=WINDOWS[size], pos_embed_size=background)
    redraw(trunk)
    carry(trunk, ours)
    for shape in SHAPES if size == "tiny" else SHAPES[1:2]:
        x = torch.randn(2, 3, *shape, generator=torch.Generator().manual_seed(2))
        with torch.no_grad():
            expected = trunk.forward_intermediates(x, intermediates_only=True)
            got = ours(x)
        assert list(got) == ["res2", "res3", "res4", "res5"]
        for ours_map, trunk_map in zip(got.values(), expected, strict=True):
            assert relative_error(ours_map, trunk_map) < 1e-4


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
