"""Dynamic quantisation finds every linear layer, and the quantised model runs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hiera_det import HieraBackbone, build_hiera

SMALL = {"embed_dim": 16, "num_heads": 1, "stages": (1, 1, 2, 1), "global_blocks": (3,)}

pytestmark = [
    pytest.mark.skipif(torch.backends.quantized.engine == "none", reason="this build of torch has no quantised layers"),
    pytest.mark.filterwarnings("ignore:.*deprecated"),
]


def outputs(model: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    with torch.no_grad():
        out = model(x)
    return list(out.values()) if isinstance(out, dict) else [out.log()]


@pytest.mark.parametrize("build", [HieraBackbone, build_hiera])
@pytest.mark.parametrize("layout", ["released", "windowed"])
def test_every_linear_layer_is_quantised(build, layout, redraw):
    model = build("hiera_tiny_224", **SMALL, layout=layout).eval()
    redraw(model)
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    assert len(names) == 4 * 5 + 3 + (build is build_hiera)  # by block, where channels change, and the head
    quantised = torch.ao.quantization.quantize_dynamic(model, {nn.Linear})
    assert {type(quantised.get_submodule(name)) for name in names} == {torch.ao.nn.quantized.dynamic.Linear}
    x = torch.randn(2, 3, 96, 128, generator=torch.Generator().manual_seed(2))
    for found, expected in zip(outputs(quantised, x), outputs(model, x), strict=True):
        error = (found - expected).norm() / expected.norm()
        assert 1e-4 < error < 0.1  # 8 bits, and not the old weights
