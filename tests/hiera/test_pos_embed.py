"""Position embeddings: exact at 224, windows in phase at every size."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from hiera_det import HieraBackbone, build_hiera
from hiera_det.hiera.pos_embed import absolute_win, resize, split_absolute_win

SMALL = {"embed_dim": 16, "num_heads": 1, "stages": (1, 1, 1, 1)}


def test_split_is_exact_at_its_own_size_and_tiles_sum_to_zero():
    plain = torch.randn(1, 6, 56, 56, dtype=torch.float64)
    rest, window = split_absolute_win(plain, (8, 8))
    torch.testing.assert_close(absolute_win(rest, window, (56, 56)), plain, rtol=0, atol=1e-12)
    tiles = rest.unflatten(3, (-1, 8)).unflatten(2, (-1, 8)).mean(dim=(2, 4))
    torch.testing.assert_close(tiles, torch.zeros_like(tiles), rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="do not tile"):
        split_absolute_win(torch.randn(1, 6, 55, 56), (8, 8))


@pytest.mark.parametrize("size", [(256, 80), (50, 84), (9, 120), (56, 14)])
def test_resizing_is_torchs_bicubic(size, relative_error):
    embed = torch.randn(1, 6, 56, 28)
    expected = F.interpolate(embed, size=size, mode="bicubic", align_corners=False)
    found = resize(embed, size)
    assert relative_error(found, expected) < 1e-6
    assert found.is_contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(resize(embed, size), found, rtol=0, atol=0)
    rounded = embed.bfloat16()
    assert torch.equal(resize(rounded, size), resize(rounded.float(), size).bfloat16())


def test_the_gradient_of_resizing_is_torchs():
    embed = torch.randn(1, 3, 14, 10, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(1, 3, 25, 31, dtype=torch.float64)
    (found,) = torch.autograd.grad((resize(embed, (25, 31)) * weights).sum(), embed)
    resized = F.interpolate(embed, size=(25, 31), mode="bicubic", align_corners=False)
    (expected,) = torch.autograd.grad((resized * weights).sum(), embed)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("size", [(256, 256), (50, 84), (8, 120)])
def test_windows_keep_their_phase_at_every_size(size):
    window = torch.randn(1, 4, 8, 8)
    embed = absolute_win(torch.zeros(1, 4, 56, 56), window, size)
    for y, x in (0, 0), (3, 7), (size[0] - 1, size[1] - 1), (size[0] // 2, 5):
        torch.testing.assert_close(embed[0, :, y, x], window[0, :, y % 8, x % 8])
    # The naive way stretches the pattern: this is the published bug.
    pattern = window.tile(1, 1, 7, 7)
    if size != (8, 120):
        assert (resize(pattern, size) - embed).abs().max() > 0.5


def test_state_of_a_plain_224_model_is_split_on_loading(redraw, relative_error):
    plain = build_hiera("hiera_tiny_224", **SMALL, layout="windowed", global_blocks=(2,)).eval()
    redraw(plain)
    model = build_hiera("hiera_tiny_224", **SMALL, layout="windowed", global_blocks=(2,), pos_embed="absolute_win")
    before = {key: value.clone() for key, value in plain.state_dict().items()}
    model.eval().load_state_dict(plain.state_dict(), strict=True)
    assert all(torch.equal(value, before[key]) for key, value in plain.state_dict().items())
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        assert relative_error(model(x), plain(x)) < 1e-5
        larger = torch.randn(1, 3, 288, 224)
        assert relative_error(model(larger), plain(larger)) > 1e-4  # here the two ways differ


def test_video_embedding_is_split_too_and_frames_are_interpolated(redraw, relative_error):
    plain = build_hiera("hiera_base_16x224", **SMALL).eval()
    redraw(plain)
    model = build_hiera("hiera_base_16x224", **SMALL, pos_embed="absolute_win").eval()
    model.load_state_dict(plain.state_dict(), strict=True)
    assert relative_error(model.position_embedding((8, 56, 56)), plain.position_embedding((8, 56, 56))) < 1e-5
    embed = plain.position_embedding((4, 56, 56))
    assert embed.shape == (1, 16, 4, 56, 56)
    halves = plain.pos_embed_temporal[0].unflatten(0, (4, 2)).mean(1)  # linear, half-pixel centres
    difference = embed[0, :, :, 10, 20] - embed[0, :, :1, 10, 20]
    torch.testing.assert_close(difference, (halves - halves[:1]).T, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(64, 96), (4, 64, 96)], ids=["image", "video"])
def test_an_embedding_that_is_not_square_is_split_at_the_models_own_size(size, redraw, relative_error):
    name = "hiera_tiny_224" if len(size) == 2 else "hiera_base_16x224"
    plain = build_hiera(name, **SMALL, input_size=size).eval()
    redraw(plain)
    model = build_hiera(name, **SMALL, input_size=size, pos_embed="absolute_win").eval()
    model.load_state_dict(plain.state_dict(), strict=True)
    grid = model.pos_embed_grid
    assert grid[-2:] == (16, 24)
    assert relative_error(model.position_embedding(grid), plain.position_embedding(grid)) < 1e-6


@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_an_embedding_of_unknown_height_and_width_is_named_with_all_else_that_is_wrong(prefix):
    model = HieraBackbone("hiera_tiny_224", **SMALL, global_blocks=())
    state = model.state_dict()
    del state["pos_embed_window"], state["blocks.0.norm1.bias"]
    state["pos_embed"] = torch.zeros(1, 1000, 16)
    if prefix:
        model = torch.nn.ModuleDict({"backbone": model})
    with pytest.raises(RuntimeError, match=f"size mismatch for {prefix}pos_embed") as caught:
        model.load_state_dict({prefix + key: value for key, value in state.items()})
    assert f"{prefix}blocks.0.norm1.bias" in str(caught.value)


def test_an_embedding_of_another_size_is_refused():
    state = HieraBackbone("hiera_tiny_224", **SMALL, global_blocks=()).state_dict()
    state["pos_embed"] = torch.zeros(1, 100, 16)
    with pytest.raises((RuntimeError, ValueError), match=r"pos_embed|tile"):
        HieraBackbone("hiera_tiny_224", **SMALL, global_blocks=()).load_state_dict(state)
