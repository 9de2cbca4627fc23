"""Linear layers, whose inference on a CPU adds the bias to the product."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad

__all__ = ["Linear", "infers_on_cpu"]


class Linear(nn.Linear):
    """As in torch.nn; float32 inference on a CPU adds the bias in place, after the product.

    PyTorch itself fills the result with copies of the bias first, and MKL's product on top of them takes up to a fifth
    longer than one alone (docs/performance.md). This is a class of its own: ``torch.ao.quantization.quantize_dynamic``
    finds it by this name, not as ``nn.Linear``.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) to (..., out_features)."""
        fp32 = x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")  # lower precision would round twice
        if self.bias is not None and self.weight.is_cpu and fp32 and infers_on_cpu(self, x):
            return F.linear(x, self.weight).add_(self.bias)
        return super().forward(x)


def infers_on_cpu(layer: nn.Module, x: Tensor) -> bool:
    """Whether a layer runs eagerly on a CPU: no derivatives, torch.compile, torch.export or torch.jit.trace."""
    if not x.is_cpu or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    learns = torch.is_grad_enabled() and (x.requires_grad or any(p.requires_grad for p in layer.parameters()))
    return not learns and forward_ad.unpack_dual(x).tangent is None
