"""Linear layers whose inference on a CPU adds the bias to the product, and when such a short cut may be taken."""

from __future__ import annotations

from collections.abc import Container

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.modules import module as torch_module

__all__ = ["infers_on_cpu", "is_plain", "linear"]

_PATCHED = ("forward", "_compiled_call_impl")  # what accelerate and ``module.compile()`` set on a single module


def linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """Call a layer; float32 inference on a CPU adds the bias in place, after the product.

    PyTorch itself fills the result with copies of the bias first, and MKL's product on top of them takes up to a fifth
    longer than one alone (docs/performance.md). Only a plain layer is treated so; one that is quantised, pruned,
    parametrised or hooked is called like any module.

    Args:
        layer: an `nn.Linear`, or what has taken its place.
        x: (..., in_features).

    Returns:
        (..., out_features).
    """
    fp32 = x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")  # lower precision would round twice
    short = fp32 and infers_on_cpu(layer, x) and is_plain(layer, {nn.Linear})
    if short and layer.bias is not None and layer.weight.is_cpu:
        return F.linear(x, layer.weight).add_(layer.bias)
    return layer(x)


def infers_on_cpu(layer: nn.Module, x: Tensor) -> bool:
    """Whether a layer runs eagerly on a CPU: no derivatives, torch.compile, torch.export or torch.jit.trace."""
    if not x.is_cpu or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    learns = torch.is_grad_enabled() and (x.requires_grad or any(p.requires_grad for p in layer.parameters()))
    return not learns and forward_ad.unpack_dual(x).tangent is None


def is_plain(module: nn.Module, types: Container[type[nn.Module]]) -> bool:
    """Whether a module is exactly of one of these types, its parameters are plain, and no hook or patch is on it."""
    return (
        type(module) in types
        and not (module._forward_hooks or module._forward_pre_hooks)
        and not (module._backward_hooks or module._backward_pre_hooks)
        and not torch_module._has_any_global_hook()
        and vars(module).keys().isdisjoint(_PATCHED)
        and all(p is None or type(p) is nn.Parameter for p in module._parameters.values())  # torchao's are of others
    )
