"""The variant of a state dict, by widths and blocks."""

from __future__ import annotations

import pytest
import torch

from hiera_det import build_hiera
from hiera_det.hiera.variants import VARIANTS
from hiera_det.weights.variant import input_size_of, stages_of, variant_of


@pytest.mark.parametrize("name", VARIANTS)
def test_variants(name):
    with torch.device("meta"):
        state = build_hiera(name).state_dict()
    assert variant_of(state, "x.pth") == name
    assert stages_of(state) == VARIANTS[name]["stages"]


def test_another_model():
    state = build_hiera("hiera_tiny_224", embed_dim=8, stages=(1, 2, 3, 1)).state_dict()
    assert stages_of(state) == (1, 2, 3, 1)
    with pytest.raises(ValueError, match=r"x\.pth: 8 channels and stages of \(1, 2, 3, 1\) blocks are no published"):
        variant_of(state, "x.pth")


def test_shapes_that_are_none_of_a_hiera():
    with torch.device("meta"):
        state = build_hiera("hiera_tiny_224").state_dict()
    assert stages_of({**state, "blocks.x.foo": torch.zeros(1)}) == (1, 2, 7, 2)
    with pytest.raises(
        ValueError, match=r"x\.pth: patch_embed\.proj\.weight is of shape \(\), expected \(C, 3, 7, 7\)"
    ):
        variant_of({**state, "patch_embed.proj.weight": torch.tensor(1.0)}, "x.pth")
    with pytest.raises(ValueError, match=r"x\.pth: a position embedding of shape \(5,\), expected \(1, tokens, C\)"):
        input_size_of({**state, "pos_embed": torch.zeros(5)}, "x.pth")
