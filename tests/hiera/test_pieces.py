"""Inference on a CPU works on some windows, and some tokens, at a time; what comes out is the same."""

from __future__ import annotations

import pytest
import torch

from benchmarks.flops import count_flops
from hiera_det import HieraBackbone
from hiera_det.hiera import attention

SMALL = {"embed_dim": 16, "num_heads": 1, "stages": (1, 1, 2, 1), "global_blocks": (3,)}
CASES = [
    ("hiera_tiny_224", (128, 192), {"layout": "released"}),
    ("hiera_tiny_224", (256, 256), {"layout": "windowed"}),
    ("hiera_tiny_224", (128, 160), {"layout": "windowed", "window_sizes": (8, 4, 14, 7)}),  # windows are gathered
    ("hiera_base_16x224", (4, 96, 96), {"layout": "released"}),
]


@pytest.fixture
def mlp_inputs(monkeypatch):
    """Shapes of the tokens that each MLP is given."""
    shapes, forward = [], attention.Mlp.forward
    monkeypatch.setattr(attention.Mlp, "forward", lambda self, x: (shapes.append(x.shape), forward(self, x))[1])
    return shapes


@pytest.mark.parametrize(("variant", "size", "arguments"), CASES)
@pytest.mark.parametrize("values", [100, 5000, 10**9])
@torch.no_grad()
def test_pieces_give_what_the_whole_gives(variant, size, arguments, values, redraw, monkeypatch, mlp_inputs):
    model = HieraBackbone(variant, **SMALL, **arguments).eval()
    redraw(model)
    x = torch.randn(3, 3, *size)
    with torch.enable_grad():  # as nothing is in pieces then
        whole = model(x)
    blocks = len(model.blocks)
    assert len(mlp_inputs) == blocks
    mlp_inputs.clear()
    monkeypatch.setattr(attention, "VALUES_IN_CACHE", values)
    for name, found in model(x).items():
        torch.testing.assert_close(found, whole[name], rtol=1e-4, atol=1e-4)
    if values == 10**9:
        assert len(mlp_inputs) == blocks
    else:
        assert len(mlp_inputs) > blocks
        assert all(shape.numel() <= max(values, shape[-1]) for shape in mlp_inputs)


@torch.no_grad()
def test_the_work_is_the_same(monkeypatch):
    counts = []
    for values in (5000, 10**9):
        monkeypatch.setattr(attention, "VALUES_IN_CACHE", values)
        model = HieraBackbone("hiera_tiny_224", **SMALL).eval()
        counts.append(count_flops(lambda model=model: model(torch.randn(2, 3, 256, 256))))
    assert counts[0] == counts[1] > 0


def test_drop_path_is_of_a_whole_image(mlp_inputs, monkeypatch):
    """In training each row of a batch is dropped or kept, so a frozen model's rows stay whole as well."""
    monkeypatch.setattr(attention, "VALUES_IN_CACHE", 100)
    model = HieraBackbone("hiera_tiny_224", **SMALL, drop_path_rate=0.5).train().requires_grad_(False)
    model(torch.randn(2, 3, 64, 64))
    assert len(mlp_inputs) == len(model.blocks)


@torch.no_grad()
def test_hooks_of_every_layer_run():
    model = HieraBackbone("hiera_tiny_224", **SMALL).eval()
    leaves = [name for name, module in model.named_modules() if not list(module.children())]
    seen = set()
    for name in leaves:
        model.get_submodule(name).register_forward_hook(lambda *_, name=name: seen.add(name))
    model(torch.randn(1, 3, 64, 64))
    assert seen == set(leaves)
