"""Operations counted by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.flops import count_flops, matrix_product
from hiera_det import HieraBackbone


def test_linear_convolution_and_their_backward_pass():
    linear, x = nn.Linear(5, 7), torch.randn(3, 5)
    assert count_flops(lambda: linear(x)) == 2 * 3 * 5 * 7
    # Backward: the weight's gradient; x has none.
    assert count_flops(lambda: linear(x).sum().backward()) == 2 * (2 * 3 * 5 * 7)
    convolution = nn.Conv2d(3, 8, 7, stride=4, padding=3)
    assert count_flops(lambda: convolution(torch.randn(2, 3, 32, 32))) == 2 * (2 * 8 * 8) * 8 * (3 * 7 * 7)


@pytest.mark.parametrize("shape", [(2, 3, 64, 16), (3, 64, 16)], ids=["4-D", "3-D"])
@pytest.mark.parametrize("grad", [True, False])
def test_fused_attention_counts(shape, grad):
    q = torch.randn(shape, requires_grad=grad)
    k = v = torch.randn(*shape[:-2], 32, 16)
    both = 2 * (2 * q[..., 0].numel() * 32 * 16)  # scores, and their products with the values
    assert count_flops(lambda: F.scaled_dot_product_attention(q, k, v)) == both


def test_what_fused_attention_computes_again_does_not_count():
    def step(attend):
        q, k, v = torch.randn(3, 2, 4, 32, 16, requires_grad=True)
        attend(q, k, v).square().sum().backward()

    fused = count_flops(lambda: step(F.scaled_dot_product_attention))
    assert (
        fused == count_flops(lambda: step(lambda q, k, v: (q @ k.mT).softmax(-1) @ v)) == 6 * 2 * 2 * 4 * 32 * 32 * 16
    )


def test_a_backbone():
    """At 64 x 64 pixels: 256 tokens of stride 4, then 64, 16 and 4; one block in each stage, which pools first."""
    model = HieraBackbone("hiera_tiny_224", layout="released", embed_dim=8, num_heads=1, stages=(1, 1, 1, 1)).eval()
    channels, tokens_in, tokens = [8, 16, 32, 64], [256, 256, 64, 16], [256, 64, 16, 4]
    keys = [64, 64, 16, 16]  # mask units of 8 x 8, the same before pooling, of 4 x 4, then everything
    total = 2 * 256 * (3 * 7 * 7) * 8  # patches
    total += 2 * (56 * 16 * 56 + 16 * 56 * 16) * 8  # position embedding from 56 x 56 to 16 x 16
    for stage, c in enumerate(channels):
        c_in, n_in, n = channels[max(stage - 1, 0)], tokens_in[stage], tokens[stage]
        total += 2 * n_in * c_in * 3 * c + 2 * n * c * c  # qkv, projection
        total += 2 * n_in * c_in * c * (stage > 0)  # of the residual
        total += 2 * 2 * n * keys[stage] * c  # scores, and their products with the values
        total += 2 * 2 * n * c * (4 * c)  # MLP
    assert count_flops(lambda: model(torch.randn(1, 3, 64, 64))) == total


def test_matrix_product():
    job = matrix_product("fp32", "cpu").build()
    assert count_flops(job.counted) == 2 * 2048**3
