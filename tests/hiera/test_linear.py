"""Linear layers: inference on a CPU adds the bias after the product, and everything else is torch.nn's."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.modules import module as torch_module
from torch.nn.utils import parametrizations, prune, spectral_norm
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from hiera_det.hiera.attention import Mlp
from hiera_det.hiera.linear import linear


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return nn.Linear(64, 32)


def adds_after(layer, x):
    """Whether the bias is a step of its own."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        linear(layer, x)
    return "aten::add_" in {event.key for event in profiler.key_averages()}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(64,), (5, 64), (3, 7, 64), (2, 0, 64)], ids=str)
@torch.no_grad()
def test_inference_gives_what_torch_gives(shape, bias):
    torch.manual_seed(0)
    layer = nn.Linear(64, 32, bias=bias)
    x = torch.randn(shape)
    assert adds_after(layer, x) == bias
    torch.testing.assert_close(
        linear(layer, x), nn.functional.linear(x, layer.weight, layer.bias), rtol=1e-5, atol=1e-5
    )


@torch.no_grad()
def test_strided_tokens(layer):
    x = torch.randn(4, 64, 10).transpose(1, 2)[:, ::2]
    assert adds_after(layer, x)
    torch.testing.assert_close(
        linear(layer, x), nn.functional.linear(x, layer.weight, layer.bias), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("frozen", [False, True])
def test_gradients_are_torchs(layer, frozen):
    layer.requires_grad_(not frozen)
    x = torch.randn(5, 64, requires_grad=frozen)
    assert not adds_after(layer, x)
    wanted = x if frozen else layer.weight
    (grad,) = torch.autograd.grad(linear(layer, x).sum(), wanted)
    torch.testing.assert_close(grad, (layer.weight.sum(0) if frozen else x.sum(0)).expand(*wanted.shape))


def test_a_frozen_layer_infers_in_training_as_well(layer):
    """What is stored of a frozen backbone and what it computes in training are the same to the bit."""
    x = torch.randn(5, 64)
    layer.requires_grad_(False)
    assert adds_after(layer, x)
    with torch.no_grad():
        expected = linear(layer, x)
    assert torch.equal(linear(layer, x), expected)


@torch.no_grad()
def test_other_types_are_torchs(layer):
    x = torch.randn(5, 64)
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(layer, x).dtype == torch.bfloat16
        assert not adds_after(layer, x)
    assert not adds_after(layer.double(), x.double())


@torch.no_grad()
def test_a_traced_graph_has_torchs_operator():
    layers, x = Mlp(64, 32), torch.randn(5, 64)
    graphs = [torch.export.export(layers, (x,)).graph, torch.jit.trace(layers, x).inlined_graph]
    assert all("linear" in str(graph) and "add" not in str(graph) for graph in graphs)


def test_forward_mode_derivatives_are_torchs(layer):
    x, direction = torch.randn(2, 5, 64)
    layer.requires_grad_(False)
    _, tangent = torch.func.jvp(partial(linear, layer), (x,), (direction,))
    torch.testing.assert_close(tangent, direction @ layer.weight.T)


@torch.no_grad()
def test_what_does_not_fit_has_torchs_errors(layer):
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        linear(layer, torch.randn(5, 63))
    with pytest.raises(RuntimeError, match="same dtype"):
        linear(layer.bfloat16(), torch.randn(5, 64))
    with pytest.raises(RuntimeError, match="meta"):
        linear(nn.Linear(64, 32, device="meta"), torch.randn(5, 64))


@pytest.mark.parametrize("grad", [True, False])
def test_flops_are_counted(layer, grad, counters_without_hooks):
    with torch.set_grad_enabled(grad), FlopCounterMode(display=False) as counter:
        linear(layer, torch.randn(3, 7, 64))
    assert counter.get_total_flops() == 2 * 3 * 7 * 64 * 32


HOOKS = ["forward_hook", "forward_pre_hook", "full_backward_hook", "full_backward_pre_hook"]


@pytest.mark.parametrize("register", [f"register_{hook}" for hook in HOOKS])
@pytest.mark.parametrize("of", ["layer", "all modules"])
@torch.no_grad()
def test_a_hooked_layer_is_called(layer, register, of):
    x, seen = torch.randn(5, 64), []
    if of == "layer":
        handle = getattr(layer, register)(lambda *_: seen.append(1))
    else:
        handle = getattr(torch_module, register.replace("register_", "register_module_"))(lambda *_: seen.append(1))
    try:
        assert not adds_after(layer, x)
        assert torch.equal(linear(layer, x), nn.functional.linear(x, layer.weight, layer.bias))
    finally:
        handle.remove()
    assert bool(seen) == ("forward" in register)
    assert adds_after(layer, x)


@torch.no_grad()
def test_what_hooks_return_counts(layer):
    x = torch.randn(5, 64)
    layer.register_forward_pre_hook(lambda _, inputs: (inputs[0] + 1,))
    layer.register_forward_hook(lambda _, inputs, out: out * 2)
    torch.testing.assert_close(linear(layer, x), 2 * nn.functional.linear(x + 1, layer.weight, layer.bias))


class Doubled(nn.Module):
    """A parametrisation."""

    def forward(self, weight):
        """Twice the weight."""
        return 2 * weight


class Marked(torch.Tensor):
    """A tensor as torchao's: a type of its own, with products of its own."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        out = super().__torch_function__(function, types, args, kwargs)
        return -out if function is nn.functional.linear else out


class Shifted(nn.Linear):
    """A layer with a function of its own."""

    def forward(self, x):
        """One more than torch's."""
        return super().forward(x) + 1


def as_marked(layer):
    layer.weight = nn.Parameter(layer.weight.detach().as_subclass(Marked))


def as_shifted(layer):
    layer.__class__ = Shifted


def as_patched(layer):
    layer.forward = lambda x, forward=layer.forward: forward(x) - 3


CHANGES = [
    lambda layer: nn.utils.parametrize.register_parametrization(layer, "weight", Doubled()),
    lambda layer: parametrizations.spectral_norm(layer).eval(),
    lambda layer: spectral_norm(layer).eval(),
    lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
    as_marked,
    as_shifted,
    as_patched,
    lambda layer: layer.compile(backend="eager"),
]


@pytest.mark.parametrize(
    "change",
    CHANGES,
    ids=["parametrize", "spectral norm", "spectral norm by hook", "prune", "tensor", "class", "forward", "compile"],
)
@torch.no_grad()
def test_a_changed_layer_is_called(layer, change):
    x, before = torch.randn(5, 64), layer.weight.clone()
    change(layer)
    expected = layer(x)
    assert torch.equal(linear(layer, x), expected)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        linear(layer, x)
    assert "aten::add_" not in {event.key for event in profiler.key_averages()}
    if layer._compiled_call_impl is None:  # compiled, it is the same function
        assert not torch.allclose(expected, nn.functional.linear(x, before, layer.bias), atol=1e-3)


@torch.no_grad()
def test_what_was_pruned_for_good_is_plain_again(layer):
    prune.l1_unstructured(layer, "weight", 0.5)
    prune.remove(layer, "weight")
    assert (layer.weight == 0).any() and adds_after(layer, torch.randn(5, 64))
