"""Linear layers, whose inference on a CPU is oneDNN's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import register_flop_formula

__all__ = ["Linear", "infers_on_cpu"]


class Linear(nn.Linear):
    """As in torch.nn; float32 inference on a CPU asks oneDNN for the product.

    PyTorch itself asks MKL, which on AMD's processors takes 1.1 to 1.4 times as long (docs/performance.md), and adds
    the bias to a copy. With ``torch.backends.mkldnn.enabled = False`` this is torch.nn's layer.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) to (..., out_features)."""
        mkldnn: Any = torch.backends.mkldnn
        plain = x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        own = type(self.weight) is nn.Parameter  # quantised weights, for example, have ways of their own
        if not (plain and own and infers_on_cpu(x) and mkldnn.is_available() and mkldnn.enabled):
            return super().forward(x)
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")


def infers_on_cpu(x: Tensor) -> bool:
    """Whether operators on x run at once, on a CPU, and nothing records them for a gradient or a graph."""
    recorded = torch.is_grad_enabled() or torch.compiler.is_compiling() or torch.jit.is_tracing()
    return x.is_cpu and not recorded


if torch.backends.mkldnn.is_available():

    @register_flop_formula(torch.ops.mkldnn._linear_pointwise)
    def _linear_flops(x: tuple[int, ...], weight: tuple[int, ...], *_: Any, out_shape: Any, **__: Any) -> int:
        """For PyTorch's counter: two for a multiply-add."""
        return 2 * weight[0] * torch.Size(x).numel()
