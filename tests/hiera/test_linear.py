"""Linear layers: inference on a CPU adds the bias after the product, and everything else is torch.nn's."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from hiera_det.hiera.linear import Linear


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return Linear(64, 32)


def adds_after(layer, x):
    """Whether the bias is a step of its own."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        layer(x)
    return "aten::add_" in {event.key for event in profiler.key_averages()}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(64,), (5, 64), (3, 7, 64), (2, 0, 64)], ids=str)
@torch.no_grad()
def test_inference_gives_what_torch_gives(shape, bias):
    torch.manual_seed(0)
    layer = Linear(64, 32, bias=bias)
    x = torch.randn(shape)
    assert adds_after(layer, x) == bias
    torch.testing.assert_close(layer(x), nn.functional.linear(x, layer.weight, layer.bias), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_strided_tokens(layer):
    x = torch.randn(4, 64, 10).transpose(1, 2)[:, ::2]
    assert adds_after(layer, x)
    torch.testing.assert_close(layer(x), nn.functional.linear(x, layer.weight, layer.bias), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("frozen", [False, True])
def test_gradients_are_torchs(layer, frozen):
    layer.requires_grad_(not frozen)
    x = torch.randn(5, 64, requires_grad=frozen)
    assert not adds_after(layer, x)
    wanted = x if frozen else layer.weight
    (grad,) = torch.autograd.grad(layer(x).sum(), wanted)
    torch.testing.assert_close(grad, (layer.weight.sum(0) if frozen else x.sum(0)).expand(*wanted.shape))


def test_a_frozen_layer_infers_in_training_as_well(layer):
    """What is stored of a frozen backbone and what it computes in training are the same to the bit."""
    x = torch.randn(5, 64)
    layer.requires_grad_(False)
    assert adds_after(layer, x)
    with torch.no_grad():
        expected = layer(x)
    assert torch.equal(layer(x), expected)


@torch.no_grad()
def test_other_types_are_torchs(layer):
    x = torch.randn(5, 64)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
        assert not adds_after(layer, x)
    assert not adds_after(layer.double(), x.double())


@torch.no_grad()
def test_a_traced_graph_has_torchs_operator(layer):
    x = torch.randn(5, 64)
    graphs = [torch.export.export(layer, (x,)).graph, torch.jit.trace(layer, x).inlined_graph]
    assert all("linear" in str(graph) and "add" not in str(graph) for graph in graphs)


def test_forward_mode_derivatives_are_torchs(layer):
    x, direction = torch.randn(2, 5, 64)
    layer.requires_grad_(False)
    _, tangent = torch.func.jvp(layer, (x,), (direction,))
    torch.testing.assert_close(tangent, direction @ layer.weight.T)


@torch.no_grad()
def test_what_does_not_fit_has_torchs_errors(layer):
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        layer(torch.randn(5, 63))
    with pytest.raises(RuntimeError, match="same dtype"):
        layer.bfloat16()(torch.randn(5, 64))
    with pytest.raises(RuntimeError, match="meta"):
        Linear(64, 32, device="meta")(torch.randn(5, 64))


@pytest.mark.parametrize("grad", [True, False])
def test_flops_are_counted(layer, grad):
    with torch.set_grad_enabled(grad), FlopCounterMode(display=False) as counter:
        layer(torch.randn(3, 7, 64))
    assert counter.get_total_flops() == 2 * 3 * 7 * 64 * 32
