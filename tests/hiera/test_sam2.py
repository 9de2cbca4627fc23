"""The windowed layout is SAM 2's trunk: equality with timm's HieraDet in its own four configurations."""

from __future__ import annotations

import pytest
import torch

from hiera_det import HieraBackbone

timm = pytest.importorskip("timm", reason="pip install timm")

WINDOWS = {"tiny": (8, 4, 14, 7), "small": (8, 4, 14, 7), "base_plus": (8, 4, 14, 7), "large": (8, 4, 16, 8)}


def pair(redraw, size):
    trunk = timm.create_model(f"sam2_hiera_{size}", pretrained=False, num_classes=0).eval()
    redraw(trunk)
    ours = HieraBackbone(
        f"hiera_{size}_224", window_sizes=WINDOWS[size], pos_embed_size=tuple(trunk.pos_embed.shape[-2:])
    )
    state = {key: value for key, value in trunk.state_dict().items() if not key.startswith(("head.", "norm."))}
    ours.load_state_dict(state, strict=True)
    return trunk, ours.eval()


@pytest.mark.parametrize("size", WINDOWS)
# Windows that tile (tiny: 14 tokens of 16 pixels = 224), that need padding, and a side shorter than a window.
@pytest.mark.parametrize("shape", [(224, 224), (256, 320), (448, 96)])
def test_equals_sam2_trunk(size, shape, redraw, relative_error):
    if size == "large" and shape != (256, 320):
        pytest.skip("one shape is enough for the largest")
    trunk, ours = pair(redraw, size)
    x = torch.randn(2, 3, *shape, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = trunk.forward_intermediates(x, intermediates_only=True)
        got = ours(x)
    assert list(got) == ["res2", "res3", "res4", "res5"]
    for ours_map, trunk_map in zip(got.values(), expected, strict=True):
        assert relative_error(ours_map, trunk_map) < 1e-4


def test_every_tensor_counts(redraw, relative_error):
    trunk, ours = pair(redraw, "tiny")
    x = torch.randn(1, 3, 96, 256, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = torch.cat([m.flatten() for m in trunk.forward_intermediates(x, intermediates_only=True)])
        for name, parameter in ours.named_parameters():
            kept = parameter.data.clone()
            parameter.data[..., 0] += 0.5
            spoiled = torch.cat([m.flatten() for m in ours(x).values()])
            parameter.data = kept
            # k's bias shifts all of a query's logits alike and leaves the softmax as it is; q's and v's are seen.
            assert relative_error(spoiled, expected) > 1e-3, name
