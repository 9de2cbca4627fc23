"""What stays the same when weights go to another input: still clips, other lengths, sizes and embeddings."""

from __future__ import annotations

import pytest
import torch

from hiera_det import HieraBackbone
from hiera_det.hiera import pos_embed as pe
from hiera_det.weights.fit import fit
from hiera_det.weights.formats import HieraWeights
from hiera_det.weights.hiera import load_hiera

SMALL = {"embed_dim": 16, "num_heads": 1, "stages": (1, 1, 2, 1), "global_blocks": (3,), "input_size": (128, 128)}
VIDEO = {**SMALL, "input_size": (8, 128, 128)}


def image_model(redraw=None, **arguments) -> HieraBackbone:
    model = HieraBackbone("hiera_tiny_224", **{**SMALL, **arguments}).eval()
    if redraw:
        redraw(model)
    return model


def video_model(redraw=None, **arguments) -> HieraBackbone:
    model = HieraBackbone("hiera_base_16x224", **{**VIDEO, **arguments}).eval()
    if redraw:
        redraw(model)
    return model


def fill(model: HieraBackbone, source: HieraBackbone) -> dict[str, str]:
    """Load one model's weights into another; what was resized."""
    return load_hiera(model, HieraWeights(source.state_dict(), {}), "x.pth").resized


def maps(model: HieraBackbone, x: torch.Tensor) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return model(x)


@pytest.mark.parametrize("layout", ["released", "windowed"])
@pytest.mark.parametrize("stored", ["resize", "absolute_win"])
@pytest.mark.parametrize("pos_embed", ["resize", "absolute_win"])
def test_a_still_clip_has_the_images_maps_in_every_frame(layout, stored, pos_embed, redraw, relative_error):
    """At the embedding's own size, and also at others where both models keep it in one form; windows may be padded."""
    source = image_model(redraw, layout=layout, pos_embed=stored)
    model = video_model(redraw, layout=layout, pos_embed=pos_embed)
    resized = fill(model, source)
    assert resized["patch_embed.proj.weight"] == "inflated: in the middle of 3 frames, the others zero"
    assert resized["pos_embed_temporal"] == "zeros for 4 steps, the weights are an image model's"
    for size in ((128, 128), (160, 90)) if stored == pos_embed else ((128, 128),):
        x = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(2))
        expected = maps(source, x)
        for name, clip in maps(model, x[:, :, None].expand(-1, -1, 6, -1, -1)).items():
            assert clip.shape[2] == 3
            for frame in clip.unbind(2):
                assert relative_error(frame, expected[name]) < 1e-5


def test_a_clip_that_moves_has_not(redraw, relative_error):
    source, model = image_model(redraw), video_model(redraw)
    fill(model, source)
    clip = torch.randn(1, 3, 4, 128, 128, generator=torch.Generator().manual_seed(2))
    found = maps(model, clip)["res5"]
    assert relative_error(found[:, :, 0], maps(source, clip[:, :, 0])["res5"]) > 1e-3


@pytest.mark.parametrize("frames", [8, 16, 32])
def test_clips_of_another_length(frames, redraw):
    source, model = video_model(redraw, input_size=(16, 128, 128)), video_model(redraw, input_size=(frames, 128, 128))
    steps = frames // 2
    ramp = torch.arange(8.0)[None, :, None].expand(1, 8, 16)
    for embed in torch.full((1, 8, 16), 0.7), ramp:
        source.pos_embed_temporal.data.copy_(embed)
        resized = fill(model, source)
        if steps == 8:
            assert resized == {} and torch.equal(model.pos_embed_temporal, source.pos_embed_temporal)
            continue
        assert resized == {"pos_embed_temporal": f"linear from 8 to {steps} steps"}
        expected = embed[:, :1].expand(1, steps, 16)
        if embed is ramp:  # half-pixel centres; the ends stay flat
            places = ((torch.arange(steps) + 0.5) * 8 / steps - 0.5).clamp(0, 7)
            expected = places[None, :, None].expand(1, steps, 16)
        torch.testing.assert_close(model.pos_embed_temporal.data, expected)


@pytest.mark.parametrize("pos_embed", ["resize", "absolute_win"])
@pytest.mark.parametrize("build", [image_model, video_model])
def test_what_fits_stays_to_the_bit(pos_embed, build, redraw):
    source, model = (build(redraw, pos_embed=pos_embed) for _ in range(2))
    model.patch_embed.proj.bias.data += 1
    assert fill(model, source) == {}
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("size", [(64, 64), (256, 256), (128, 96)])
def test_a_plain_embedding_to_a_plain_one(size, redraw, relative_error):
    """Bicubic, as the same model does when it runs at that size."""
    source, model = (image_model(redraw, pos_embed="resize", input_size=s) for s in ((128, 128), size))
    resized = fill(model, source)
    height, width = size[0] // 4, size[1] // 4
    assert resized["pos_embed"].startswith(f"bicubic from 32 x 32 to {height} x {width}, as a whole")
    assert relative_error(model.position_embedding((height, width)), source.position_embedding((height, width))) < 1e-6
    embed = torch.full_like(source.pos_embed, 0.3)
    source.pos_embed.data.copy_(embed)
    fill(model, source)
    torch.testing.assert_close(model.pos_embed.data, torch.full_like(model.pos_embed, 0.3))


@pytest.mark.parametrize("size", [(128, 128), (128, 64)])
@pytest.mark.parametrize("build", [image_model, video_model])
def test_plain_and_split_are_one_embedding_at_its_own_size(size, build, redraw, relative_error):
    size = size if build is image_model else (8, *size)
    plain, split = (build(redraw, pos_embed=kind, input_size=size) for kind in ("resize", "absolute_win"))
    back = build(redraw, pos_embed="resize", input_size=size)
    name = plain.spatial_name
    assert fill(split, plain) == {
        name: "the plain embedding without its window part",
        "pos_embed_window": "mean over the mask units of the plain embedding",
    }
    grid = tuple(n // s for n, s in zip(size, plain.patch_stride, strict=True))
    assert relative_error(split.position_embedding(grid), plain.position_embedding(grid)) < 1e-6
    resized = fill(back, split)
    assert resized == {name: f"global and window part added up at {grid[-2]} x {grid[-1]}"}
    assert relative_error(back.get_parameter(name), plain.get_parameter(name)) < 1e-6


@pytest.mark.parametrize("side", [7, 14])
def test_global_parts_of_sam2(side, redraw, relative_error):
    """Kept as they are where the model's is as large; added up as the trunk itself does in a plain model."""
    source = image_model(redraw, pos_embed_size=(side, side))
    same, plain = image_model(redraw, pos_embed_size=(side, side)), image_model(redraw, pos_embed="resize")
    assert fill(same, source) == {}
    fill(plain, source)
    assert relative_error(plain.position_embedding((32, 32)), source.position_embedding((32, 32))) < 1e-6
    larger = image_model(redraw)
    assert fill(larger, source) == {"pos_embed": f"global part, bicubic from {side} x {side} to 32 x 32"}
    assert relative_error(larger.position_embedding((32, 32)), source.position_embedding((32, 32))) < 1e-6
    assert relative_error(larger.position_embedding((64, 64)), source.position_embedding((64, 64))) > 1e-3  # twice


def test_a_split_of_another_size_keeps_its_windows(redraw):
    source, model = image_model(redraw), image_model(redraw, input_size=(256, 192))
    assert fill(model, source) == {"pos_embed": "global part, bicubic from 32 x 32 to 64 x 48"}
    assert torch.equal(model.pos_embed_window, source.pos_embed_window)
    assert torch.equal(model.pos_embed, pe.resize(source.pos_embed, (64, 48)))


def test_what_cannot_be_fitted(redraw):
    with pytest.raises(ValueError, match=r"x\.pth: the weights are a video model's, the model is for images"):
        fill(image_model(), video_model())
    for kind in "resize", "absolute_win":
        state = image_model().state_dict()
        state["pos_embed_window"] = torch.zeros(1, 16, 7, 7)
        with pytest.raises(
            ValueError, match=r"pos_embed_window is of 7 x 7 tokens, the model's mask units are of 8 x 8"
        ):
            fit(state, image_model(pos_embed=kind))
        state = image_model(pos_embed="resize").state_dict()
        state["pos_embed"] = torch.zeros(1, 1000, 16)
        with pytest.raises(ValueError, match=r"shape \(1, 1000, 16\) is neither square nor of the model's \(32, 32\)"):
            fit(state, image_model(pos_embed=kind))
    state["pos_embed"] = torch.zeros(1, 900, 16)
    with pytest.raises(ValueError, match="windows of 8 x 8 tokens do not tile a position embedding of 30 x 30"):
        fit(state, image_model())


@pytest.mark.parametrize("kind", ["resize", "absolute_win"])
@pytest.mark.parametrize("build", [image_model, video_model])
@pytest.mark.parametrize("shape", [(), (5,), (1, 0, 16), (1, 16, 2, 2, 2, 2)])
def test_tensors_of_another_rank(shape, build, kind):
    state = build(pos_embed=kind).state_dict()
    for name in [key for key in state if "pos_embed" in key or key == "patch_embed.proj.weight"]:
        for model in image_model(pos_embed=kind), video_model(pos_embed=kind):
            with pytest.raises(ValueError, match=rf"x\.pth: {name} is of shape .* dimensions"):
                load_hiera(model, HieraWeights({**state, name: torch.zeros(shape)}, {}), "x.pth")


def test_parts_of_other_channels():
    state = {**image_model().state_dict(), "pos_embed_window": torch.zeros(1, 8, 8, 8)}
    for kind in "resize", "absolute_win":
        with pytest.raises(ValueError, match=r"pos_embed is of shape \(1, 16, 32, 32\), but pos_embed_window of"):
            fit(dict(state), image_model(pos_embed=kind))


def test_an_encoder_without_embedding_is_missing_one_not_broken():
    state = image_model(pos_embed="resize").state_dict()
    del state["pos_embed"]
    model = video_model(pos_embed="resize")
    with pytest.raises(ValueError, match="missing in the file: pos_embed_spatial"):
        load_hiera(model, HieraWeights(state, {}), "x.pth")


def test_a_grey_image_has_the_maps_of_its_rgb_copy(redraw, relative_error):
    source, model = image_model(redraw), image_model(in_chans=1)
    resized = fill(model, source)
    assert resized == {"patch_embed.proj.weight": "3 channels added up to 1: grey in place of RGB"}
    grey = torch.randn(1, 1, 128, 128, generator=torch.Generator().manual_seed(2))
    expected = maps(source, grey.expand(-1, 3, -1, -1))
    for name, found in maps(model, grey).items():
        assert relative_error(found, expected[name]) < 1e-5


def test_a_fourth_channel_changes_nothing_before_it_is_trained(redraw, relative_error):
    source, model = image_model(redraw), image_model(in_chans=4)
    assert fill(model, source) == {"patch_embed.proj.weight": "3 channels kept, zeros for the other 1"}
    x = torch.randn(1, 4, 128, 128, generator=torch.Generator().manual_seed(2))
    expected = maps(source, x[:, :3])
    for name, found in maps(model, x).items():
        assert relative_error(found, expected[name]) < 1e-5


def test_channels_of_a_clip(redraw):
    source, model = image_model(redraw), video_model(in_chans=1)
    how = fill(model, source)["patch_embed.proj.weight"]
    assert how.startswith("inflated: ") and how.endswith("; 3 channels added up to 1: grey in place of RGB")


@pytest.mark.parametrize(("there", "wanted"), [(1, 3), (4, 3), (3, 2), (1, 4)])
def test_channels_that_cannot_be_fitted(redraw, there, wanted):
    message = rf"x\.pth: the weights take images of {there} channels, the model's are of {wanted} \(as many as MODEL"
    with pytest.raises(ValueError, match=message):
        fill(image_model(in_chans=wanted), image_model(in_chans=there))
