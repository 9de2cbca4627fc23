"""Linear layers, whose inference on a CPU is oneDNN's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.utils.flop_counter import flop_registry, register_flop_formula

__all__ = ["Linear", "infers_on_cpu"]


class Linear(nn.Linear):
    """As in torch.nn; float32 inference on a CPU asks oneDNN for the product.

    PyTorch itself asks MKL and adds the bias to a copy: on an AMD processor that costs 7 to 12 % of a whole model
    (docs/performance.md, with an Intel one's figures). With ``torch.backends.mkldnn.enabled = False`` this is
    torch.nn's layer. It is a class of its own: ``torch.ao.quantization.quantize_dynamic`` finds it by this name, not
    as ``nn.Linear``.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) to (..., out_features)."""
        if self._is_onednns(x):
            return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return super().forward(x)

    def _is_onednns(self, x: Tensor) -> bool:
        """Whether oneDNN takes these tensors; torch.nn's layer has words for those that do not fit one another."""
        weight = self.weight
        mkldnn: Any = torch.backends.mkldnn  # its stubs lack `enabled`
        return (
            infers_on_cpu(self, x)
            and type(weight) is nn.Parameter  # quantised weights, for example, have ways of their own
            and weight.is_cpu
            and x.dtype == weight.dtype == torch.float32
            and x.layout == weight.layout == torch.strided
            and x.shape[-1:] == weight.shape[1:]
            and not torch.is_autocast_enabled("cpu")
            and mkldnn.is_available()
            and mkldnn.enabled
        )


def infers_on_cpu(layer: nn.Module, x: Tensor) -> bool:
    """Whether a layer runs eagerly on a CPU: no derivatives, torch.compile, torch.export or torch.jit.trace."""
    if not x.is_cpu or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    learns = torch.is_grad_enabled() and (x.requires_grad or any(p.requires_grad for p in layer.parameters()))
    return not learns and forward_ad.unpack_dual(x).tangent is None


if torch.backends.mkldnn.is_available() and torch.ops.mkldnn._linear_pointwise not in flop_registry:

    @register_flop_formula(torch.ops.mkldnn._linear_pointwise)
    def _linear_flops(x: tuple[int, ...], weight: tuple[int, ...], *_: Any, out_shape: Any, **__: Any) -> int:
        """For PyTorch's counter: two for a multiply-add."""
        return 2 * weight[0] * torch.Size(x).numel()
