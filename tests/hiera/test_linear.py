"""Linear layers: inference on a CPU by oneDNN gives what torch.nn's gives, and everything else is torch.nn's."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from hiera_det.hiera.linear import Linear

ONEDNN = "mkldnn::_linear_pointwise"
needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return Linear(64, 32)


def operators(layer, x):
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        layer(x)
    return {event.key for event in profiler.key_averages()}


@needs_onednn
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(64,), (5, 64), (3, 7, 64), (2, 0, 64)], ids=str)
@torch.no_grad()
def test_onednn_gives_what_torch_gives(shape, bias):
    torch.manual_seed(0)
    layer = Linear(64, 32, bias=bias)
    x = torch.randn(shape)
    assert ONEDNN in operators(layer, x)
    torch.testing.assert_close(layer(x), nn.functional.linear(x, layer.weight, layer.bias), rtol=1e-5, atol=1e-5)


@needs_onednn
@torch.no_grad()
def test_strided_tokens(layer):
    x = torch.randn(4, 64, 10).transpose(1, 2)[:, ::2]
    assert ONEDNN in operators(layer, x)
    torch.testing.assert_close(layer(x), nn.functional.linear(x, layer.weight, layer.bias), rtol=1e-5, atol=1e-5)


def test_gradients_are_torchs(layer):
    x = torch.randn(5, 64, requires_grad=True)
    (grad,) = torch.autograd.grad(layer(x).sum(), x)
    torch.testing.assert_close(grad, layer.weight.sum(0).expand(5, 64))


@torch.no_grad()
def test_switched_off_with_onednn(layer):
    x = torch.randn(5, 64)
    with torch.backends.mkldnn.flags(enabled=False):
        assert ONEDNN not in operators(layer, x)
        assert torch.equal(layer(x), nn.functional.linear(x, layer.weight, layer.bias))


@torch.no_grad()
def test_other_types_are_torchs(layer):
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(5, 64)).dtype == torch.bfloat16
    assert layer.double()(torch.randn(5, 64, dtype=torch.float64)).dtype == torch.float64


@torch.no_grad()
def test_a_traced_graph_has_torchs_operator(layer):
    exported = torch.export.export(layer, (torch.randn(5, 64),))
    names = {str(node.target) for node in exported.graph.nodes}
    assert "aten.linear.default" in names and not any("mkldnn" in name for name in names)


@pytest.mark.parametrize("grad", [True, False])
def test_flops_are_counted(layer, grad):
    with torch.set_grad_enabled(grad), FlopCounterMode(display=False) as counter:
        layer(torch.randn(3, 7, 64))
    assert counter.get_total_flops() == 2 * 3 * 7 * 64 * 32
