"""Any input size: padding inside, maps cut back, token orders, windows."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from hiera_det import Hiera, HieraBackbone, build_hiera
from hiera_det.hiera.tokens import TokenOrder

SMALL = {"embed_dim": 16, "num_heads": 1, "stages": (1, 1, 2, 1), "global_blocks": (3,)}


def small_backbone(redraw, **overrides):
    model = HieraBackbone("hiera_tiny_224", **{**SMALL, **overrides}).eval()
    redraw(model)
    return model


@pytest.mark.parametrize("layout", ["released", "windowed"])
@pytest.mark.parametrize("pos_embed", ["resize", "absolute_win"])
@pytest.mark.parametrize("size", [(32, 32), (33, 47), (100, 160), (224, 65)])
def test_odd_sizes_equal_zero_padding_by_hand(layout, pos_embed, size, redraw):
    model = small_backbone(redraw, layout=layout, pos_embed=pos_embed)
    x = torch.randn(2, 3, *size)
    padded = F.pad(x, (0, -size[1] % 32, 0, -size[0] % 32))
    with torch.no_grad():
        got, whole = model(x), model(padded)
    for name, stride in model.strides.items():
        height, width = -(-size[0] // stride), -(-size[1] // stride)
        assert got[name].shape == (2, model.channels[name], height, width)
        torch.testing.assert_close(got[name], whole[name][..., :height, :width], rtol=0, atol=0)


@pytest.mark.parametrize("frames", [2, 6])
def test_video_of_any_length_and_size(frames, redraw):
    model = HieraBackbone("hiera_base_16x224", **{**SMALL, "layout": "released"}).eval()
    redraw(model)
    with torch.no_grad():
        maps = model(torch.randn(1, 3, frames, 70, 64))
    shapes = {name: tuple(m.shape) for name, m in maps.items()}
    t = frames // 2
    assert shapes == {
        "res2": (1, 16, t, 18, 16),
        "res3": (1, 32, t, 9, 8),
        "res4": (1, 64, t, 5, 4),
        "res5": (1, 128, t, 3, 2),
    }
    with pytest.raises(ValueError, match="3 frames: their number must be a multiple of 2"):
        model(torch.randn(1, 3, 3, 64, 64))


@pytest.mark.parametrize("build", [HieraBackbone, build_hiera])
@pytest.mark.parametrize("layout", ["released", "windowed"])
@pytest.mark.parametrize("window_sizes", [(8, 4, 16, 8), (8, 4, 6, 3)])  # those of the second are gathered and padded
@pytest.mark.parametrize("variant", ["hiera_tiny_224", "hiera_base_16x224"])
@pytest.mark.parametrize("train", [False, True])
def test_no_images_give_maps_of_no_images(build, layout, window_sizes, variant, train):
    model = build(variant, **SMALL, layout=layout, window_sizes=window_sizes, drop_path_rate=0.5).train(train)
    size = (70, 96) if variant == "hiera_tiny_224" else (4, 70, 96)

    def shapes(batch: int, grad: bool) -> list[tuple[int, ...]]:
        arguments = {"return_intermediates": True} if build is build_hiera else {}
        with torch.set_grad_enabled(grad):
            out = model(torch.randn(batch, 3, *size), **arguments)
            found = list(out.values()) if build is HieraBackbone else [out[0], *out[1]]
            if grad:
                sum(m.sum() for m in found).backward()
        return [tuple(m.shape) for m in found]

    one = shapes(1, grad=False)
    for grad in True, False:
        assert shapes(0, grad) == [(0, *shape[1:]) for shape in one]


def test_a_window_larger_than_the_image_is_global_attention_where_nothing_is_padded(redraw):
    released = small_backbone(redraw, layout="released")
    windowed = small_backbone(redraw, window_sizes=(8, 4, 16, 8), global_blocks=())
    windowed.load_state_dict(released.state_dict())
    x = torch.randn(1, 3, 256, 256)  # one window of 16 x 16 tokens in stage 3, of 8 x 8 in stage 4
    with torch.no_grad():
        for a, b in zip(released(x).values(), windowed(x).values(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_windows_are_local_and_global_blocks_are_not(redraw):
    x = torch.randn(1, 3, 512, 512)
    changed = x.clone()
    changed[..., 300:310, 300:310] += 1.0  # in the last window of 256 x 256 pixels
    for blocks, reaches in ((), False), ((3,), True):
        model = small_backbone(redraw, global_blocks=blocks)
        with torch.no_grad():
            first, second = model(x)["res5"][..., :8, :8], model(changed)["res5"][..., :8, :8]
        assert torch.equal(first, second) is not reaches


@pytest.mark.parametrize("grid, group", [((16, 24), (1, 1)), ((16, 32), (2, 2)), ((2, 16, 24), (1, 1, 1))])
def test_unroll_makes_pools_and_windows_runs(grid, group):
    dims = len(grid)
    stride = (1, 2, 2)[-dims:]
    order = TokenOrder(grid, (stride,) * 3, group)
    x = torch.randn(2, 5, *grid)
    tokens = order.unroll(x)
    assert torch.equal(order.reroll(tokens).movedim(-1, 1), x)
    kernel = F.max_pool2d if dims == 2 else F.max_pool3d
    pooled = order.pooled()
    assert torch.equal(pooled.reroll(order.pool(tokens)).movedim(-1, 1), kernel(x, stride))
    # Each mask unit is a run: its tokens hold one square of the map.
    first = tokens[0, :64].sort(0).values
    square = x[0, :, :8, :8] if dims == 2 else x[0, :, 0, :8, :8]
    assert torch.equal(first, square.flatten(1).T.sort(0).values)


@pytest.mark.parametrize("size", [(8, 8), (16, 16), (14, 14), (5, 7)])
def test_windows_of_any_size_come_from_the_padded_map(size):
    grid = (16, 32)
    order = TokenOrder(grid, ((2, 2),) * 3, (2, 2))
    x = torch.arange(16.0 * 32).view(1, 1, *grid)  # every token is its own number, padding is -1
    windows = order.windows(size, x.device)
    tokens = order.unroll(x).unsqueeze(2)  # (1, N, 1 head, 1)
    if windows.padded:
        tokens = F.pad(tokens, (0, 0, 0, 0, 0, 1), value=-1.0)
    split = windows.split(tokens)  # (#windows, 1, tokens, 1)
    padded = F.pad(x, (0, -grid[1] % size[1], 0, -grid[0] % size[0]), value=-1.0)
    expected = padded.unfold(2, size[0], size[0]).unfold(3, size[1], size[1]).flatten(4).flatten(0, 3)
    assert windows.padded == bool((padded < 0).any())
    assert sorted(sorted(window) for window in split.flatten(1).tolist()) == sorted(expected.sort().values.tolist())
    assert torch.equal(windows.merge(split, order.num_tokens), order.unroll(x))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"layout": "windows"}, "layout='windows': expected one of 'released', 'windowed'"),
        ({"pos_embed": "abs"}, "pos_embed='abs'"),
        ({"layout": "windowed", "window_sizes": (8, 4, 14)}, "one size for each of the 4 stages"),
        ({"layout": "windowed", "window_sizes": (8, 4, 7, 7)}, "stage 3 is pooled and must be even"),
        ({"layout": "windowed", "global_blocks": (99,)}, "there are blocks 0 to"),
        ({"mask_unit_size": (4, 4)}, "mask_unit_size"),
        ({"q_pool": 4}, "q_pool=4"),
    ],
)
def test_arguments_that_do_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")):
        Hiera(**arguments)


def test_inputs_that_do_not_fit():
    model = build_hiera("hiera_tiny_224", **{k: v for k, v in SMALL.items() if k != "global_blocks"})
    with pytest.raises(ValueError, match=r"expected \(B, C, H, W\), got \(3, 64, 64\)"):
        model(torch.randn(3, 64, 64))
    with pytest.raises(ValueError, match=r"mask must be bool, \(1, 4\)"):
        model(torch.randn(1, 3, 64, 64), mask=torch.ones(1, 5, dtype=torch.bool))
    with pytest.raises(ValueError, match="needs layout 'released'"):
        HieraBackbone("hiera_tiny_224").encode(torch.randn(1, 3, 64, 64), torch.ones(1, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="no Hiera variant is called 'hiera_giant_224'; there are hiera_tiny_224"):
        build_hiera("hiera_giant_224")
