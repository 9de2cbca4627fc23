"""Equality with the original, PyPI's hiera-transformer 0.1.4, on the same weights."""

from __future__ import annotations

import math

import pytest
import torch

import hiera_det
from hiera_det.hiera.variants import VARIANTS

hiera = pytest.importorskip("hiera", reason="pip install hiera-transformer")

IMAGE = [name for name in VARIANTS if name.endswith("_224")]
VIDEO = [name for name in VARIANTS if name.endswith("16x224")]
# Small models with every part of the published ones, where the whole comparison is cheap.
SMALL = {
    "image": {"embed_dim": 16, "num_heads": 1, "stages": (1, 2, 2, 1), "input_size": (64, 96), "num_classes": 7},
    "video": {
        "embed_dim": 16,
        "num_heads": 2,
        "stages": (1, 1, 2, 1),
        "input_size": (4, 64, 64),
        "num_classes": 7,
        "q_stride": (1, 2, 2),
        "mask_unit_size": (1, 8, 8),
        "patch_kernel": (3, 7, 7),
        "patch_stride": (2, 4, 4),
        "patch_padding": (1, 3, 3),
        "sep_pos_embed": True,
    },
    "two pools": {"embed_dim": 16, "stages": (1, 1, 2, 1), "q_pool": 2, "input_size": (64, 64), "num_classes": 7},
}


def pair(redraw, original, ours):
    redraw(original)
    ours.load_state_dict(original.state_dict(), strict=True)
    return original.eval(), ours.eval()


def random_mask(batch: int, units: int) -> torch.Tensor:
    keep = torch.rand(batch, units, generator=torch.Generator().manual_seed(3)).argsort(1) < units // 2
    return keep


# The smallest of each kind at the published size, the others at a smaller one: blocks are the same, arithmetic less.
SIZES = {"hiera_tiny_224": (224, 224), "hiera_base_16x224": (16, 224, 224)}


def small_size(name: str) -> tuple[int, ...]:
    return (4, 64, 64) if name in VIDEO else (96, 64)


@pytest.fixture
def variant_pair(redraw, monkeypatch):
    """``variant_pair(name, size)``: the original's variant and ours with the same weights."""
    for init in "trunc_normal_", "kaiming_uniform_":  # slow, and redrawn anyway
        monkeypatch.setattr(torch.nn.init, init, lambda tensor, **_: tensor)
    build = hiera.Hiera

    def built(name: str, size: tuple[int, ...]):
        # The original's own arguments of the variant, but for the input size, which its video variants fix.
        monkeypatch.setattr(hiera.hiera, "Hiera", lambda **arguments: build(**{**arguments, "input_size": size}))
        original = getattr(hiera, name)().eval()
        redraw(original)
        with torch.device("meta"):
            ours = hiera_det.build_hiera(name, input_size=size).eval()
        ours.load_state_dict(original.state_dict(), strict=True, assign=True)
        return original, ours

    return built


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if "huge" in name else []) for name in IMAGE + VIDEO]
)
def test_variant_equals_original(name, variant_pair, relative_error):
    size = SIZES.get(name, small_size(name))
    original, ours = variant_pair(name, size)
    x = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(2))
    for mask in None, random_mask(1, math.prod(original.mask_spatial_shape)):
        with torch.no_grad():
            expected, expected_maps = original(x, mask=mask, return_intermediates=True)
            got, maps = ours(x, mask=mask, return_intermediates=True)
        assert relative_error(got, expected) < 1e-5
        assert len(maps) == 4
        for ours_map, original_map in zip(maps, expected_maps, strict=True):
            assert relative_error(ours_map, original_map) < 1e-5


def add_gradients(*models: torch.nn.Module, x: torch.Tensor, mask: torch.Tensor | None = None) -> list[tuple]:
    """Backward from the output and every map, each by its mean square; what the models gave."""
    results = [model(x, mask=mask, return_intermediates=True) for model in models]
    for out, maps in results:
        (out.square().mean() + sum(m.square().mean() for m in maps)).backward()
    return results


def assert_gradients_equal(original: torch.nn.Module, ours: torch.nn.Module, relative_error) -> None:
    gradients = dict(ours.named_parameters())
    for name, parameter in original.named_parameters():
        if parameter.grad is None:  # norm and head, when masked
            assert gradients[name].grad is None
            continue
        assert relative_error(gradients[name].grad, parameter.grad) < 1e-4, name


@pytest.mark.parametrize(
    "name", ["hiera_tiny_224", "hiera_small_224", "hiera_base_224", "hiera_base_plus_224", "hiera_base_16x224"]
)
def test_gradients_of_variants_equal_the_original(name, variant_pair, relative_error):
    size = small_size(name)
    original, ours = (model.train() for model in variant_pair(name, size))  # logits, and no drop path here
    add_gradients(original, ours, x=torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(2)))
    assert_gradients_equal(original, ours, relative_error)


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("masked", [False, True])
def test_gradients_equal_the_original_and_every_tensor_counts(kind, masked, redraw, relative_error):
    arguments = SMALL[kind]
    original, ours = pair(redraw, hiera.Hiera(**arguments), hiera_det.Hiera(**arguments))
    original.train()
    ours.train()  # logits, and no drop path here
    x = torch.randn(2, 3, *arguments["input_size"], generator=torch.Generator().manual_seed(2))
    units = ours.encode(x)[0].shape[1] // (4 if kind == "two pools" else 1)
    mask = random_mask(2, units) if masked else None

    (expected, _), (got, maps) = add_gradients(original, ours, x=x, mask=mask)
    if not masked or kind != "two pools":  # then tokens are still in the order of each implementation
        assert relative_error(got, expected) < 1e-5
    assert_gradients_equal(original, ours, relative_error)

    for name, parameter in ours.named_parameters():
        if parameter.grad is None:
            continue
        kept = parameter.data.clone()
        parameter.data[..., 0] += 1.0
        with torch.no_grad():
            spoiled, spoiled_maps = ours(x, mask=mask, return_intermediates=True)
        parameter.data = kept
        pairs = [(spoiled, got), *zip(spoiled_maps, maps, strict=True)]
        assert max(relative_error(a, b) for a, b in pairs) > 1e-4, f"spoiling {name} goes unseen"


def test_training_gives_logits_and_evaluation_probabilities(redraw):
    arguments = SMALL["image"]
    original, ours = pair(redraw, hiera.Hiera(**arguments), hiera_det.Hiera(**arguments))
    x = torch.randn(2, 3, 64, 96)
    torch.testing.assert_close(ours(x).sum(1), torch.ones(2))
    torch.testing.assert_close(ours.train()(x), original.train()(x))
