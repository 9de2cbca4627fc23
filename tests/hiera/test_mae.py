"""The masked autoencoder: equality with the original, PyPI's hiera-transformer 0.1.4, and what ours has beside it."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import hiera_det
from hiera_det.hiera.mae import MaskedAutoencoderHiera
from hiera_det.hiera.variants import MAE_VARIANTS, VARIANTS

DECODER = {"decoder_embed_dim": 24, "decoder_depth": 2, "decoder_num_heads": 3}
VIDEO = {
    "q_stride": (1, 2, 2),
    "mask_unit_size": (1, 8, 8),
    "patch_kernel": (3, 7, 7),
    "patch_stride": (2, 4, 4),
    "patch_padding": (1, 3, 3),
    "sep_pos_embed": True,
}
_SMALL = {"embed_dim": 16, "num_heads": 2, "stages": (1, 2, 2, 1), "q_pool": 2, **DECODER}
# Small models with every part of the published ones.
SMALL = {
    "image": {**_SMALL, "input_size": (64, 96)},
    "video": {**_SMALL, **VIDEO, "input_size": (4, 64, 96)},
    "image, one pool": {**_SMALL, "input_size": (64, 96), "q_pool": 1},
    "image, three pools": {**_SMALL, "input_size": (64, 96), "q_pool": 3},
    "video, three pools": {**_SMALL, **VIDEO, "input_size": (4, 64, 96), "q_pool": 3},
}
KINDS = ["image", "video"]
UNIT = {"image": (32, 32), "video": (2, 32, 32)}  # pixels along each side of a mask unit
TOKEN = {"image": (16, 16), "video": (2, 16, 16)}  # pixels along each side of what is predicted at once


@pytest.fixture
def original():
    return pytest.importorskip("hiera.hiera_mae", reason="pip install hiera-transformer")


def redrawn(model: nn.Module, redraw) -> nn.Module:
    """The model at a trained scale; what the decoder begins with is new as well."""
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    redraw(model)
    assert not [name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])]
    return model.eval()


@pytest.fixture
def small(redraw):
    """``small(kind, **overrides)``: our model at a trained scale."""
    return lambda kind, **overrides: redrawn(MaskedAutoencoderHiera(**{**SMALL[kind], **overrides}), redraw)


@pytest.fixture
def pair(redraw, original):
    """``pair(kind)``: the original and ours with the same weights."""

    def built(kind: str, **overrides):
        theirs = redrawn(original.MaskedAutoencoderHiera(**SMALL[kind]), redraw)
        ours = MaskedAutoencoderHiera(**{**SMALL[kind], **overrides}).eval()
        ours.load_state_dict(theirs.state_dict(), strict=True)
        return theirs, ours

    return built


def inputs(*size: int, batch: int = 2) -> Tensor:
    """Images or clips whose tokens have means and deviations of their own."""
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(batch, 3, *size, generator=generator)
    slow = torch.rand(batch, 3, *(n // 16 if n >= 16 else n for n in size), generator=generator)
    for axis, n in enumerate(size, 2):
        slow = slow.repeat_interleave(n // slow.shape[axis], dim=axis)
    return x * slow + 3 * slow


def random_mask(batch: int, units: int, kept: float = 0.5) -> Tensor:
    noise = torch.rand(batch, units, generator=torch.Generator().manual_seed(3))
    return noise.argsort(1).argsort(1) < int(units * kept)


def inputs_and_mask(model: MaskedAutoencoderHiera, *size: int) -> tuple[Tensor, Tensor]:
    mask = random_mask(2, math.prod(model.mask_units(size)))
    assert not torch.equal(mask[0], mask[1])
    return inputs(*size), mask


def dropped_tokens(kind: str, mask: Tensor, size: tuple[int, ...]) -> list[tuple[int, tuple[slice, ...]]]:
    """The image, and the pixels along each side, of each token in a dropped mask unit: by image, in spatial order."""
    token, unit = TOKEN[kind], UNIT[kind]
    seen = mask.view(len(mask), *(n // u for n, u in zip(size, unit, strict=True)))
    found = []
    for image in range(len(mask)):
        for place in torch.cartesian_prod(*(torch.arange(0, n, t) for n, t in zip(size, token, strict=True))).tolist():
            if not seen[(image, *(p // u for p, u in zip(place, unit, strict=True)))]:
                found.append((image, tuple(slice(p, p + t) for p, t in zip(place, token, strict=True))))
    return found


def true_values(kind: str, x: Tensor, mask: Tensor) -> Tensor:
    """The pixels of the dropped tokens in the order of labels, one token after the other."""
    rows = []
    for image, place in dropped_tokens(kind, mask, tuple(x.shape[2:])):
        pixels = x[(image, slice(None), *place)]
        # channel, row, column; of a clip row, column, channel, of the first frame
        rows.append(pixels.flatten() if kind == "image" else pixels[:, 0].permute(1, 2, 0).flatten())
    return torch.stack(rows)


def assert_gradients_equal(theirs: nn.Module, ours: nn.Module, relative_error) -> None:
    gradients = {name: parameter.grad for name, parameter in ours.named_parameters()}
    assert gradients.keys() == dict(theirs.named_parameters()).keys()
    for name, parameter in theirs.named_parameters():
        assert relative_error(gradients[name], parameter.grad) < 1e-4, name


# --- equality with the original


@pytest.mark.parametrize("kind", SMALL)
def test_loss_predictions_labels_and_gradients_equal_the_original(kind, pair, relative_error):
    theirs, ours = (model.train() for model in pair(kind))
    x, mask = inputs_and_mask(ours, *SMALL[kind]["input_size"])
    expected, got = theirs(x, mask=mask), ours(x, mask=mask)
    for value, reference in zip(got[:3], expected[:3], strict=True):
        assert relative_error(value, reference) < 1e-5
    assert torch.equal(got[3], mask)
    expected[0].backward()
    got[0].backward()
    assert_gradients_equal(theirs, ours, relative_error)


@pytest.fixture
def variant_pair(redraw, original, monkeypatch):
    """``variant_pair(name, **overrides)``: the original's variant and ours with the same weights."""
    for init in "trunc_normal_", "xavier_uniform_", "kaiming_uniform_":  # slow, and redrawn anyway
        monkeypatch.setattr(nn.init, init, lambda tensor, *_, **__: tensor)
    build = original.MaskedAutoencoderHiera

    def built(name: str, **overrides):
        # Its video variants take no other input size, its image variants no other width.
        monkeypatch.setattr(original, "MaskedAutoencoderHiera", lambda **given: build(**{**given, **overrides}))
        theirs = getattr(original, name)().eval()
        redraw(theirs)
        with torch.device("meta"):
            ours = hiera_det.build_hiera(name, **overrides).eval()
        ours.load_state_dict(theirs.state_dict(), strict=True, assign=True)
        return theirs, ours

    return built


@pytest.mark.parametrize("name", MAE_VARIANTS)
def test_small_variants_equal_the_original(name, variant_pair, relative_error):
    size = (4, 64, 64) if "16x224" in name else (96, 64)
    theirs, ours = variant_pair(name, input_size=size, embed_dim=16, **DECODER)
    x, mask = inputs_and_mask(ours, *size)
    expected, got = theirs(x, mask=mask), ours(x, mask=mask)
    for value, reference in zip(got[:3], expected[:3], strict=True):
        assert relative_error(value, reference) < 1e-5
    expected[0].backward()
    got[0].backward()
    assert_gradients_equal(theirs, ours, relative_error)


@pytest.mark.parametrize("name", MAE_VARIANTS)
def test_variants_have_the_originals_arguments(name, original, monkeypatch):
    """At the published width, without numbers."""
    for init in "trunc_normal_", "xavier_uniform_", "kaiming_uniform_":
        monkeypatch.setattr(nn.init, init, lambda tensor, *_, **__: tensor)
    linspace = torch.linspace  # the original reads its values
    monkeypatch.setattr(torch, "linspace", lambda *a, **_: linspace(*a, device="cpu"))
    with torch.device("meta"):
        theirs, ours = getattr(original, name)(), hiera_det.build_hiera(name)
    shapes = [{key: value.shape for key, value in model.state_dict().items()} for model in (theirs, ours)]
    assert shapes[0] == shapes[1]
    for part in "blocks", "decoder_blocks":
        blocks = zip(getattr(theirs, part), getattr(ours, part), strict=True)
        assert all(block.attn.heads == own.attn.heads for block, own in blocks)


def test_published_size_equals_the_original(variant_pair, relative_error):
    theirs, ours = variant_pair("mae_hiera_base_224")
    x, mask = inputs(224, 224, batch=1), random_mask(1, 49, kept=0.4)
    with torch.no_grad():
        expected, got = theirs(x, mask=mask), ours(x, mask=mask)
    for value, reference in zip(got[:3], expected[:3], strict=True):
        assert relative_error(value, reference) < 1e-5


def test_variants_are_the_classifiers_with_two_pools():
    assert {f"mae_{name}" for name in VARIANTS} == MAE_VARIANTS.keys() and len(MAE_VARIANTS) == 10
    for name, arguments in MAE_VARIANTS.items():
        assert arguments == {**VARIANTS[name.removeprefix("mae_")], "q_pool": 2}
    model = hiera_det.build_hiera("mae_hiera_tiny_224", embed_dim=8, stages=(1, 1, 1, 1), input_size=(64, 64))
    assert type(model) is MaskedAutoencoderHiera
    with pytest.raises(ValueError, match="no Hiera variant is called 'mae_hiera_giant_224'"):
        hiera_det.build_hiera("mae_hiera_giant_224")


@pytest.mark.parametrize("kind", KINDS)
def test_every_tensor_counts(kind, small, relative_error):
    model = small(kind)
    x, mask = inputs_and_mask(model, *SMALL[kind]["input_size"])
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        loss, pred, *_ = model(x, mask=mask)
        for name, tensor in model.state_dict().items():
            kept = tensor.clone()
            tensor += torch.randn(tensor.shape, generator=generator)  # norms would take a constant back
            spoiled_loss, spoiled, *_ = model(x, mask=mask)
            tensor.copy_(kept)
            assert relative_error(spoiled, pred) > 1e-4 and spoiled_loss != loss, f"spoiling {name} goes unseen"


# --- labels and loss


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("normalize", [True, False])
def test_labels_are_the_pixels_of_dropped_tokens_and_make_the_loss(kind, normalize, small):
    """Every pixel is its own number; of an image channel, row, column; of a clip row, column, channel."""
    model = small(kind, normalize_target=normalize)
    size = SMALL[kind]["input_size"]
    _, mask = inputs_and_mask(model, *size)
    x = torch.arange(2.0 * 3 * math.prod(size)).view(2, 3, *size)
    loss, pred, label, _ = model(x, mask=mask)
    expected = true_values(kind, x, mask)
    if normalize:
        deviation = ((expected - expected.mean(1, keepdim=True)).square().sum(1, keepdim=True) / 767 + 1e-6).sqrt()
        torch.testing.assert_close(label, (expected - expected.mean(1, keepdim=True)) / deviation)
    else:
        assert torch.equal(label, expected)
    assert pred.shape == label.shape
    torch.testing.assert_close(loss, ((pred - label) ** 2).mean())


@pytest.mark.parametrize("kind", KINDS)
def test_values_within_a_label(kind, small):
    model = small(kind, normalize_target=False)
    size = SMALL[kind]["input_size"]
    x = torch.arange(2.0 * 3 * math.prod(size)).view(2, 3, *size)
    labels = model.labels(x)
    columns = size[-1] // 16
    if kind == "image":
        token = labels[1, columns + 2].view(3, 16, 16)
        assert token[2, 5, 7] == x[1, 2, 16 + 5, 32 + 7]
    else:
        token = labels[1, (size[-2] // 16 + 1) * columns + 2].view(16, 16, 3)
        assert token[5, 7, 2] == x[1, 2, 2, 16 + 5, 32 + 7]  # frame 2, the first of the second step


@pytest.mark.parametrize("kind", KINDS)
def test_labels_without_normalization_change_nothing_else(kind, pair, relative_error):
    theirs, ours = pair(kind, normalize_target=False)
    x, mask = inputs_and_mask(ours, *SMALL[kind]["input_size"])
    with torch.no_grad():
        _, expected, *_ = theirs(x, mask=mask)
        loss, pred, label, _ = ours(x, mask=mask)
    assert relative_error(pred, expected) < 1e-5
    assert torch.equal(label, true_values(kind, x, mask))
    torch.testing.assert_close(loss, (pred - label).square().mean())


@pytest.mark.parametrize("kind", KINDS)
def test_histograms_as_target(kind, small):
    from hiera_det.hiera.hog import hog

    model = small(kind, target="hog")
    size = SMALL[kind]["input_size"]
    x, mask = inputs_and_mask(model, *size)
    loss, pred, label, _ = model(x, mask=mask)
    images = x if kind == "image" else x[:, :, ::2].transpose(1, 2).flatten(0, 1)  # of the first frame of each step
    cells = hog(images).unflatten(0, (2, -1))  # (2, steps, 3, 9, H / 8, W / 8)
    expected = []
    for image, place in dropped_tokens(kind, mask, size):
        step = 0 if kind == "image" else place[0].start // 2
        rows, columns = (slice(p.start // 8, p.stop // 8) for p in place[-2:])
        expected.append(cells[image, step, :, :, rows, columns].flatten())
    assert torch.equal(label, torch.stack(expected)) and label.shape[1] == 108  # not normalised again
    torch.testing.assert_close(loss, (pred - label).square().mean())
    loss.backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("normalize", [True, False])
def test_true_labels_as_predictions_give_the_input_back(kind, normalize, small):
    model = small(kind, normalize_target=normalize)
    x, mask = inputs_and_mask(model, *SMALL[kind]["input_size"])
    with torch.no_grad():
        _, pred, label, _ = model(x, mask=mask)
    frames = x if kind == "image" else x[:, :, ::2]
    torch.testing.assert_close(model.reconstruct(x, label, mask), frames, rtol=1e-4, atol=1e-5)

    got = model.reconstruct(x, torch.zeros_like(pred), mask)
    hidden = torch.zeros_like(frames, dtype=torch.bool)
    for image, place in dropped_tokens(kind, mask, tuple(x.shape[2:])):
        where = (image, slice(None), *(place if kind == "image" else (place[0].start // 2, *place[1:])))
        hidden[where] = True
        mean = frames[where].mean() if normalize else torch.zeros(())
        torch.testing.assert_close(got[where], mean.expand(got[where].shape))
    assert torch.equal(got[~hidden], frames[~hidden])


def test_histograms_give_no_pixels_back(small):
    model = small("image", target="hog")
    x, mask = inputs_and_mask(model, 64, 96)
    with torch.no_grad():
        _, pred, *_ = model(x, mask=mask)
    with pytest.raises(ValueError, match="target='hog': there are no pixels to put back"):
        model.reconstruct(x, pred, mask)


# --- other sizes


@pytest.mark.parametrize(("kind", "size"), [("image", (128, 64)), ("video", (8, 32, 128))])
def test_another_size_is_that_of_a_model_with_resized_embeddings(kind, size, small, relative_error):
    """Bicubic in space, linear in time, by torch's own interpolation."""
    model = small(kind)
    x, mask = inputs_and_mask(model, *size)
    built = [n // s for n, s in zip(SMALL[kind]["input_size"], TOKEN[kind], strict=True)]
    wanted = [n // s for n, s in zip(size, TOKEN[kind], strict=True)]

    def resized(embed: Tensor, old: list[int], new: list[int]) -> Tensor:
        grid = embed.transpose(1, 2).unflatten(2, old)  # (1, C, (T,) H, W)
        if len(old) == 2:
            out = F.interpolate(grid, size=new, mode="bicubic")
        else:
            frames = [F.interpolate(grid[:, :, t], size=new[1:], mode="bicubic") for t in range(old[0])]
            flat = torch.stack(frames, dim=-1).flatten(1, 3)  # (1, C * H * W, T)
            steps = F.interpolate(flat, size=new[0], mode="linear")
            out = steps.unflatten(1, (-1, *new[1:])).movedim(-1, 2)
        return out.flatten(2).transpose(1, 2)

    state = model.state_dict()
    state["decoder_pos_embed"] = resized(state["decoder_pos_embed"], built, wanted)
    spatial = "pos_embed" if kind == "image" else "pos_embed_spatial"
    state[spatial] = resized(state[spatial], [4 * n for n in built[-2:]], [4 * n for n in wanted[-2:]])
    if kind == "video":
        state["pos_embed_temporal"] = F.interpolate(
            state["pos_embed_temporal"].transpose(1, 2), size=wanted[0], mode="linear"
        ).transpose(1, 2)
    other = MaskedAutoencoderHiera(**{**SMALL[kind], "input_size": size}).eval()
    other.load_state_dict(state, strict=True)
    with torch.no_grad():
        got, expected = model(x, mask=mask), other(x, mask=mask)
        drawn = model(x)
    assert relative_error(got[1], expected[1]) < 1e-5
    assert all(value.isfinite().all() for value in drawn[:3])


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_resized_at_the_built_size(kind, small, monkeypatch):
    model, size = small(kind), SMALL[kind]["input_size"]

    def forbidden(*args, **kwargs):
        raise AssertionError("something is resized")

    monkeypatch.setattr(F, "interpolate", forbidden)
    model(inputs(*size))
    with pytest.raises(AssertionError, match="something is resized"):
        model(inputs(*size[:-1], 2 * size[-1]))


# --- arguments


def test_the_last_stage_alone(redraw, original, relative_error):
    """Equal to the original whose fusion heads give nothing."""
    theirs = redrawn(original.MaskedAutoencoderHiera(**SMALL["image"]), redraw)
    ours = MaskedAutoencoderHiera(**SMALL["image"], multi_scale=False).eval()
    for parameter in theirs.multi_scale_fusion_heads.parameters():
        nn.init.zeros_(parameter)
    state = {key: value for key, value in theirs.state_dict().items() if "fusion" not in key}
    ours.load_state_dict(state, strict=True)
    x, mask = inputs_and_mask(ours, 64, 96)
    with torch.no_grad():
        assert relative_error(ours(x, mask=mask)[1], theirs(x, mask=mask)[1]) < 1e-5


def test_width_and_depth_of_the_decoder(small):
    model = small("image", decoder_embed_dim=20, decoder_depth=3, decoder_num_heads=5, mlp_ratio=2.0)
    assert len(model.decoder_blocks) == 3 and all(block.attn.heads == 5 for block in model.decoder_blocks)
    assert model.decoder_blocks[2].mlp.fc1.weight.shape == (40, 20)
    assert model.decoder_embed.weight.shape == (20, 128) and model.decoder_pred.weight.shape == (768, 20)
    assert model.mask_token.shape == (1, 1, 20) and model.decoder_pos_embed.shape == (1, 24, 20)
    assert model(inputs(64, 96))[0].isfinite()


def test_other_channels(small):
    model = small("image", in_chans=5)
    x = torch.cat([inputs(64, 96), inputs(64, 96)[:, :2]], dim=1)
    _, pred, label, _ = model(x)
    assert pred.shape == label.shape == (2 * 16, 5 * 256)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": "pixels"}, r"target='pixels': expected one of 'pixel', 'hog'"),
        ({"target": "hog", "q_pool": 0}, r"cells of 8 pixels, which do not tile tokens of 4 x 4"),
        ({"decoder_depth": 0}, r"decoder_depth=0.*expected one at least of each"),
        ({"decoder_num_heads": 5}, r"24 channels cannot be split into 5 heads"),
        ({"decoder_num_heads": 0}, r"decoder_num_heads=0.*expected one at least of each"),
        ({"layout": "windowed", "global_blocks": ()}, r"layout='windowed': masked autoencoding needs 'released'"),
    ],
)
def test_arguments_that_do_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        MaskedAutoencoderHiera(**{**SMALL["image"], **arguments})


# --- training


def test_drop_path_is_of_the_encoder_and_of_training(small):
    model, plain = small("image", drop_path_rate=0.5), small("image")
    x, mask = inputs_and_mask(model, 64, 96)
    assert torch.equal(model(x, mask=mask)[0], plain(x, mask=mask)[0])
    rates = [getattr(block.drop_path, "p", 0.0) for block in model.blocks]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert all(type(block.drop_path) is nn.Identity for block in model.decoder_blocks)
    model.train()
    assert len({model(x, mask=mask)[0].item() for _ in range(8)}) > 1


@pytest.mark.parametrize("kind", KINDS)
def test_activation_checkpointing_recomputes_every_block_and_changes_nothing(kind, small):
    models = [small(kind, drop_path_rate=0.5), small(kind, drop_path_rate=0.5, activation_checkpointing=True)]
    size = SMALL[kind]["input_size"]
    calls = [Counter(), Counter()]
    for model, counter in zip(models, calls, strict=True):
        for name, module in model.named_modules():
            if type(module).__name__ == "Block":
                module.register_forward_pre_hook(lambda *_, name=name, counter=counter: counter.update([name]))
        torch.manual_seed(5)
        model.train()(inputs(*size))[0].backward()
    assert len(calls[0]) == 6 + 2 and set(calls[0].values()) == {1}
    assert calls[1].keys() == calls[0].keys() and set(calls[1].values()) == {2}
    for (name, parameter), other in zip(models[0].named_parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(other.grad, parameter.grad, rtol=1e-5, atol=1e-7, msg=name)


@pytest.mark.parametrize(("kind", "target"), [("image", "pixel"), ("video", "pixel"), ("image", "hog")])
def test_one_graph(kind, target, small):
    model = small(kind, target=target)
    x, _ = inputs_and_mask(model, *SMALL[kind]["input_size"])
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    given = random_mask(2, math.prod(model.mask_units(x.shape[2:])), kept=0.4)
    for mask in None, given:
        torch.manual_seed(0)
        expected = model(x, mask=mask)
        torch.manual_seed(0)
        got = compiled(x, mask=mask)
        for value, reference in zip(got[:3], expected[:3], strict=True):
            torch.testing.assert_close(value, reference, rtol=1e-4, atol=1e-5)
        assert torch.equal(got[3], expected[3])
    model.zero_grad()
    compiled(x, mask=given)[0].backward()
    gradient = model.mask_token.grad.clone()
    model.zero_grad()
    model(x, mask=given)[0].backward()
    torch.testing.assert_close(gradient, model.mask_token.grad, rtol=1e-4, atol=1e-6)


def test_a_graph_checks_that_the_mask_keeps_what_the_ratio_says(small):
    model = small("image")
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    x = inputs(64, 96)
    assert compiled(x, mask=random_mask(2, 6, kept=0.4))[0].isfinite()
    with pytest.raises(RuntimeError, match="the mask must keep as many units as mask_ratio says"):
        compiled(x, mask=random_mask(2, 6, kept=0.5))


@pytest.mark.parametrize("kind", KINDS)
def test_mixed_precision(kind, small, relative_error):
    """Predictions, labels and loss are in float32."""
    model = small(kind)
    x, mask = inputs_and_mask(model, *SMALL[kind]["input_size"])
    expected = model(x, mask=mask)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, pred, label, _ = model(x, mask=mask)
    assert loss.dtype == pred.dtype == label.dtype == torch.float32
    assert torch.equal(label, expected[2]) and 1e-5 < relative_error(pred, expected[1]) < 0.1
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


# --- folders


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_gives_the_same_model(kind, small, tmp_path):
    model = small(kind, target="hog", multi_scale=False, normalize_target=False, drop_path_rate=0.1)
    model.save_pretrained(tmp_path)
    read = MaskedAutoencoderHiera.from_pretrained(tmp_path, strict=True)
    assert not read.training and read.blocks[-1].drop_path.p == pytest.approx(0.1)
    assert (read.target, read.normalize_target) == ("hog", False)
    x, mask = inputs_and_mask(model, *SMALL[kind]["input_size"])
    for value, expected in zip(read(x, mask=mask), model(x, mask=mask), strict=True):
        assert torch.equal(value, expected)


@pytest.mark.parametrize("change", ["missing", "unknown"])
def test_a_folder_is_read_strictly(change, small, tmp_path):
    small("image").save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    if change == "missing":
        del state["mask_token"]
    else:
        state["decoder_x"] = torch.zeros(1)
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(RuntimeError, match="mask_token" if change == "missing" else "decoder_x"):
        MaskedAutoencoderHiera.from_pretrained(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_original_writes_is_read(kind, pair, original, tmp_path, relative_error):
    theirs, _ = pair(kind)
    theirs.save_pretrained(tmp_path)
    read = MaskedAutoencoderHiera.from_pretrained(tmp_path)
    x, mask = inputs_and_mask(read, *SMALL[kind]["input_size"])
    assert relative_error(read(x, mask=mask)[1], theirs(x, mask=mask)[1]) < 1e-5
