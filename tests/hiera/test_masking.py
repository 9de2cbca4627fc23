"""Masks of mask units: which are drawn, which are refused, and that nothing of what is dropped reaches the encoder."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from hiera_det import Hiera, HieraBackbone
from hiera_det.hiera.mae import MaskedAutoencoderHiera
from hiera_det.hiera.masking import draw_mask, hide, kept_number

SMALL = {"embed_dim": 8, "num_heads": 1, "stages": (1, 1, 2, 1)}
VIDEO = {
    "q_stride": (1, 2, 2),
    "mask_unit_size": (1, 8, 8),
    "patch_kernel": (3, 7, 7),
    "patch_stride": (2, 4, 4),
    "patch_padding": (1, 3, 3),
    "sep_pos_embed": True,
}
SIZE = {"image": (64, 96), "video": (4, 64, 96)}
UNIT = {"image": (32, 32), "video": (2, 32, 32)}  # pixels along each side of a mask unit
KINDS = list(SIZE)


@pytest.fixture
def small(redraw):
    """``small(kind)``: a masked autoencoder at a trained scale."""

    def built(kind: str) -> MaskedAutoencoderHiera:
        arguments = SMALL | (VIDEO if kind == "video" else {})
        decoder = {"decoder_embed_dim": 8, "decoder_depth": 1, "decoder_num_heads": 1}
        model = MaskedAutoencoderHiera(input_size=SIZE[kind], q_pool=2, **arguments, **decoder)
        redraw(model)
        return model.eval()

    return built


def units_of(kind: str) -> tuple[int, ...]:
    return tuple(n // u for n, u in zip(SIZE[kind], UNIT[kind], strict=True))


def some_mask(kind: str, batch: int = 2) -> Tensor:
    torch.manual_seed(3)
    mask = draw_mask(batch, math.prod(units_of(kind)), 0.5)
    assert not torch.equal(mask[0], mask[1])
    return mask


def is_seen(kind: str, mask: Tensor) -> Tensor:
    """Of each pixel (B, 1, *size), whether it is in a kept unit."""
    seen = mask.view(len(mask), 1, *units_of(kind))
    for axis, side in enumerate(UNIT[kind], 2):
        seen = seen.repeat_interleave(side, dim=axis)
    return seen


def images(kind: str, batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, *SIZE[kind], generator=torch.Generator().manual_seed(2))


# --- which are drawn


@pytest.mark.parametrize(("units", "ratio"), [(49, 0.6), (49, 0.5), (16, 0.01), (16, 0.93), (392, 0.9), (6, 2 / 3)])
def test_each_row_keeps_as_many_and_others(units, ratio):
    torch.manual_seed(0)
    mask = draw_mask(64, units, ratio)
    assert mask.dtype == torch.bool and mask.shape == (64, units)
    assert set(mask.sum(1).tolist()) == {int(units * (1 - ratio))} == {kept_number(units, ratio)}
    assert len({tuple(row) for row in mask.tolist()}) > min(64, math.comb(units, int(units * (1 - ratio)))) / 2
    torch.manual_seed(0)
    assert torch.equal(draw_mask(64, units, ratio), mask)
    assert not torch.equal(draw_mask(64, units, ratio), mask)
    generators = [torch.Generator().manual_seed(5) for _ in range(2)]
    first, second = (draw_mask(64, units, ratio, generator=generator) for generator in generators)
    assert torch.equal(first, second)


def test_every_unit_is_kept_as_often():
    torch.manual_seed(0)
    counts = draw_mask(4000, 10, 0.6).float().mean(0)
    assert (counts - 0.4).abs().max() < 0.04  # five deviations


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_draws_its_own(kind, small):
    model, x, units = small(kind), images(kind), math.prod(units_of(kind))
    torch.manual_seed(0)
    *_, mask = model(x, mask_ratio=0.7)
    assert mask.shape == (2, units) and mask.sum(1).tolist() == [int(units * 0.3)] * 2
    torch.manual_seed(0)
    assert torch.equal(model(x, mask_ratio=0.7)[3], mask)
    assert len({tuple(model(x)[3].flatten().tolist()) for _ in range(8)}) > 1
    assert model(x)[3].sum(1).tolist() == [int(units * 0.4)] * 2


# --- which are refused


@pytest.mark.parametrize("ratio", [0, 0.0, 1, 1.0, -0.5, 1.5, float("nan"), 0.9, 0.999])
def test_ratios_that_do_not_fit(ratio, small):
    """Of six mask units 0.9 would keep none."""
    model = small("image")
    with pytest.raises(ValueError, match=rf"a mask ratio of {ratio} keeps 0 of 6 mask units; expected a ratio between"):
        model(images("image"), mask_ratio=ratio)


def test_a_ratio_that_drops_nothing():
    with pytest.raises(ValueError, match="a mask ratio of 1e-20 keeps 6 of 6 mask units"):
        draw_mask(2, 6, 1e-20)
    with pytest.raises(ValueError, match=r"a mask ratio of 0\.6 keeps 0 of 1 mask units"):
        kept_number(1, 0.6)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ([[1, 1, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0]], r"must keep as many mask units.*these keep \[2, 3\]"),
        ([[0] * 6, [0] * 6], r"one at least; these keep \[0, 0\]"),
        ([[1] * 6, [1] * 6], "the mask keeps all 6 mask units: there is nothing to predict"),
        ([[1, 1, 0, 0, 0]] * 2, r"mask must be bool, \(2, 6\).*got torch.bool \(2, 5\)"),
        ([[1, 1, 0, 0, 0, 0]], r"mask must be bool, \(2, 6\).*got torch.bool \(1, 6\)"),
        ([[[1, 1, 0], [0, 0, 0]]] * 2, r"mask must be bool, \(2, 6\).*got torch.bool \(2, 2, 3\)"),
    ],
)
def test_masks_that_do_not_fit(mask, message, small):
    model = small("image")
    with pytest.raises(ValueError, match=message):
        model(images("image"), mask=torch.tensor(mask, dtype=torch.bool))


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8, torch.int64])
def test_masks_of_numbers(dtype, small):
    model = small("image")
    with pytest.raises(ValueError, match=rf"mask must be bool, \(2, 6\).*got {dtype} \(2, 6\)"):
        model(images("image"), mask=some_mask("image").to(dtype))


@pytest.mark.parametrize("size", [(64, 80), (60, 96), (0, 64), (16, 16)])
def test_images_that_mask_units_do_not_tile(size, small):
    model = small("image")
    message = rf"an input of {size[0]} x {size[1]} for .*\(H, W\) in multiples of 32 x 32"
    for call in (model, lambda x: model.reconstruct(x, x, x)):
        with pytest.raises(ValueError, match=message):
            call(torch.zeros(1, 3, *size))
    with pytest.raises(ValueError, match=message):
        model.mask_units(size)


@pytest.mark.parametrize("size", [(4, 64, 80), (4, 60, 96), (0, 64, 64)])
def test_clips_that_mask_units_do_not_tile(size, small):
    message = rf"an input of {size[0]} x {size[1]} x {size[2]} for .*\(T, H, W\) in multiples of 2 x 32 x 32"
    with pytest.raises(ValueError, match=message):
        small("video")(torch.zeros(1, 3, *size))
    with pytest.raises(ValueError, match="an input of 3 x 64 x 64 for"):
        small("video").mask_units((3, 64, 64))


@pytest.mark.parametrize(
    ("kind", "shape"), [("image", (3, 64, 64)), ("image", (1, 3, 4, 64, 64)), ("video", (1, 3, 64, 64))]
)
def test_inputs_of_other_dimensions(kind, shape, small):
    with pytest.raises(ValueError, match=rf"expected \(B, C, .*got \({', '.join(map(str, shape))}\)"):
        small(kind)(torch.zeros(shape))


# --- what the encoder sees


def encoded(model: MaskedAutoencoderHiera, x: Tensor, mask: Tensor) -> Tensor:
    with torch.no_grad():
        return model._encode(x, mask, int(mask[0].sum()))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [7.0, float("inf"), float("nan")])
def test_nothing_of_dropped_units_reaches_the_encoder(kind, value, small):
    model, x, mask = small(kind), images(kind), some_mask(kind)
    seen = is_seen(kind, mask)
    expected = encoded(model, x, mask)
    assert expected.isfinite().all() and expected.shape[:2] == (2, math.prod(units_of(kind)) // 2)
    assert torch.equal(encoded(model, torch.where(seen, x, value), mask), expected)
    hidden = hide(x, mask, units_of(kind))
    assert torch.equal(hidden, torch.where(seen, x, 0.0))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kept_unit_reaches_the_encoder_to_its_corners(kind, small):
    model, x, mask = small(kind), images(kind), some_mask(kind)
    expected = encoded(model, x, mask)
    for place in mask[1].nonzero().flatten().tolist():
        unit = torch.zeros_like(mask)
        unit[1, place] = True
        inside = is_seen(kind, unit)[1, 0].nonzero()
        for corner in inside[0], inside[-1]:
            changed = x.clone()
            changed[(1, 0, *corner.tolist())] += 3.0
            got = encoded(model, changed, mask)
            assert not torch.equal(got[1], expected[1]) and torch.equal(got[0], expected[0])


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_of_dropped_units_have_no_gradient_through_the_encoder(kind, small):
    model, x, mask = small(kind), images(kind).requires_grad_(), some_mask(kind)
    model._encode(x, mask, int(mask[0].sum())).square().sum().backward()
    seen = is_seen(kind, mask).expand_as(x)
    assert not x.grad[~seen].any() and x.grad[seen].abs().gt(0).float().mean() > 0.99


@pytest.mark.parametrize("kind", KINDS)
def test_kept_units_take_no_part_in_the_loss(kind, small):
    """Labels stay as they are, whatever kept pixels are; those of dropped ones alone change them."""
    model, x, mask = small(kind), images(kind), some_mask(kind)
    seen = is_seen(kind, mask)
    _, pred, label, _ = model(x, mask=mask)
    tokens = math.prod(n // s for n, s in zip(SIZE[kind], (2, 16, 16)[-len(SIZE[kind]) :], strict=True))
    assert pred.shape == label.shape == (2 * tokens // 2, 768)
    other_loss, other_pred, other_label, _ = model(torch.where(seen, 2 * x, x), mask=mask)
    assert torch.equal(other_label, label) and not torch.equal(other_pred, pred)
    torch.testing.assert_close(other_loss, (other_pred - label).square().mean())
    _, same_pred, new_label, _ = model(torch.where(seen, x, x.square()), mask=mask)
    assert torch.equal(same_pred, pred) and not (new_label == label).all(1).any()


# --- masks of the classifier and the backbone


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [7.0, float("inf"), float("nan")])
def test_nothing_of_dropped_units_reaches_classifier_and_backbone(kind, value, redraw):
    variant = "hiera_tiny_224" if kind == "image" else "hiera_base_16x224"
    arguments = SMALL | (VIDEO if kind == "video" else {})
    classifier = Hiera(input_size=SIZE[kind], num_classes=3, **arguments).eval()
    backbone = HieraBackbone(variant, **SMALL, input_size=SIZE[kind], layout="released").eval()
    redraw(classifier)
    redraw(backbone)
    x, mask = images(kind), some_mask(kind)
    changed = torch.where(is_seen(kind, mask), x, value)
    for encode in classifier.encode, backbone.encode:
        with torch.no_grad():
            (first, _), (second, _) = encode(x, mask), encode(changed, mask)
        assert torch.equal(first, second) and first.isfinite().all()


def test_a_classifier_compiles_as_before(redraw):
    """Without a mask in one graph; with one, counting what it keeps breaks the graph."""
    model = Hiera(input_size=(64, 96), num_classes=3, **SMALL)
    redraw(model)
    x, mask = images("image"), some_mask("image")
    torch._dynamo.reset()
    whole, broken = torch.compile(model, backend="eager", fullgraph=True), torch.compile(model, backend="eager")
    with torch.no_grad():
        torch.testing.assert_close(whole(x), model(x), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(broken(x, mask), model(x, mask), rtol=1e-4, atol=1e-5)
