"""Inference on a CPU works on some windows, and some tokens, at a time; what comes out is the same."""

from __future__ import annotations

import pytest
import torch

from benchmarks.flops import count_flops
from hiera_det import HieraBackbone
from hiera_det.hiera import attention

SMALL = {"embed_dim": 16, "num_heads": 1, "stages": (1, 1, 2, 1), "global_blocks": (3,)}
CASES = [
    ("hiera_tiny_224", (128, 192), {"layout": "released"}),
    ("hiera_tiny_224", (256, 256), {"layout": "windowed"}),
    ("hiera_tiny_224", (128, 160), {"layout": "windowed", "window_sizes": (8, 4, 14, 7)}),  # windows are gathered
    ("hiera_base_16x224", (4, 96, 96), {"layout": "released"}),
]


@pytest.fixture
def mlp_inputs(monkeypatch):
    """Shapes of the tokens that each MLP is given."""
    shapes, forward = [], attention.Mlp.forward
    monkeypatch.setattr(attention.Mlp, "forward", lambda self, x: (shapes.append(x.shape), forward(self, x))[1])
    return shapes


@pytest.mark.parametrize(("variant", "size", "arguments"), CASES)
@pytest.mark.parametrize("values", [100, 5000, 10**9])
@torch.no_grad()
def test_pieces_give_what_the_whole_gives(variant, size, arguments, values, redraw, monkeypatch, mlp_inputs):
    model = HieraBackbone(variant, **SMALL, **arguments).eval()
    redraw(model)
    x = torch.randn(3, 3, *size)
    with torch.enable_grad():  # as nothing is in pieces then
        whole = model(x)
    blocks = len(model.blocks)
    assert len(mlp_inputs) == blocks
    mlp_inputs.clear()
    monkeypatch.setattr(attention, "VALUES_IN_CACHE", values)
    for name, found in model(x).items():
        torch.testing.assert_close(found, whole[name], rtol=1e-4, atol=1e-4)
    if values == 10**9:
        assert len(mlp_inputs) == blocks
    else:
        assert len(mlp_inputs) > blocks
        assert all(shape.numel() <= max(values, shape[-1]) for shape in mlp_inputs)


@torch.no_grad()
def test_the_work_is_the_same(monkeypatch, mlp_inputs, counters_without_hooks):
    counts, pieces = [], []
    for values in (5000, 10**9):
        monkeypatch.setattr(attention, "VALUES_IN_CACHE", values)
        model = HieraBackbone("hiera_tiny_224", **SMALL).eval()
        counts.append(count_flops(lambda model=model: model(torch.randn(2, 3, 256, 256))))
        pieces.append(len(mlp_inputs))
        mlp_inputs.clear()
    assert counts[0] == counts[1] > 0
    assert pieces[0] > pieces[1] == len(model.blocks)


def test_drop_path_is_of_a_whole_image(mlp_inputs, monkeypatch):
    """In training each row of a batch is dropped or kept, so a frozen model's rows stay whole as well."""
    monkeypatch.setattr(attention, "VALUES_IN_CACHE", 100)
    model = HieraBackbone("hiera_tiny_224", **SMALL, drop_path_rate=0.5).train().requires_grad_(False)
    model(torch.randn(2, 3, 64, 64))
    assert len(mlp_inputs) == len(model.blocks)


INNER = ["norm1", "attn", "attn.qkv", "attn.proj", "norm2", "mlp", "mlp.fc1", "mlp.fc2", "drop_path", "proj"]


@pytest.fixture
def small_pieces(monkeypatch, redraw):
    """A model in small pieces, and images."""
    monkeypatch.setattr(attention, "VALUES_IN_CACHE", 5000)
    model = HieraBackbone("hiera_tiny_224", **SMALL, drop_path_rate=0.1).eval()
    redraw(model)
    return model, torch.randn(2, 3, 128, 128)


def is_in_pieces(model, x, mlp_inputs) -> list[bool]:
    """By block, whether it works on less than all tokens at a time."""
    mlp_inputs.clear()
    model(x)
    all_tokens = [(2, 1024, 16), (2, 256, 32), (2, 64, 64), (2, 64, 64), (2, 16, 128)]
    return [shape not in mlp_inputs for shape in all_tokens]


@pytest.mark.parametrize("module", INNER)
@pytest.mark.parametrize("register", ["register_forward_hook", "register_forward_pre_hook"])
@torch.no_grad()
def test_a_hook_sees_all_tokens_once(module, register, small_pieces):
    model, x = small_pieces
    unhooked = model(x)
    seen: list[tuple[int, ...]] = []
    hooked = model.blocks[1].get_submodule(module)
    handle = getattr(hooked, register)(lambda _, inputs, *__: seen.append(tuple(inputs[0].shape)))
    for name, found in model(x).items():
        torch.testing.assert_close(found, unhooked[name], rtol=1e-5, atol=1e-5)
    tokens = 1024 if module in ("norm1", "attn", "attn.qkv", "proj") else 256  # the block pools
    width = {"norm1": 16, "attn": 16, "attn.qkv": 16, "proj": 16, "mlp.fc2": 128}.get(module, 32)
    assert seen == [(2, tokens, width)] * (2 if module == "drop_path" else 1)
    handle.remove()
    model(x)
    assert len(seen) == (2 if module == "drop_path" else 1)


@torch.no_grad()
def test_pieces_end_where_a_hook_is_and_nowhere_else(small_pieces, mlp_inputs):
    model, x = small_pieces
    everywhere = is_in_pieces(model, x, mlp_inputs)
    assert everywhere[0] and everywhere[1]
    model.blocks[0].register_forward_hook(lambda *_: None)  # of the block: it is called once in any case
    assert is_in_pieces(model, x, mlp_inputs) == everywhere
    handle = model.blocks[0].attn.proj.register_full_backward_hook(lambda *_: None)
    assert is_in_pieces(model, x, mlp_inputs) == [False, *everywhere[1:]]
    handle.remove()
    assert is_in_pieces(model, x, mlp_inputs) == everywhere
    with torch.nn.modules.module.register_module_forward_hook(lambda *_: None):
        assert not any(is_in_pieces(model, x, mlp_inputs))


class Centred(torch.nn.LayerNorm):
    """A norm that is not of each token alone."""

    def forward(self, x):
        """Without the mean over all tokens."""
        return super().forward(x - x.mean(dim=1, keepdim=True))


@torch.no_grad()
def test_modules_of_other_types_see_all_tokens(small_pieces, mlp_inputs):
    model, x = small_pieces
    everywhere = is_in_pieces(model, x, mlp_inputs)
    model.blocks[0].norm2 = Centred(16)
    torch.nn.utils.parametrizations.spectral_norm(model.blocks[1].mlp.fc1)
    model.eval()
    assert is_in_pieces(model, x, mlp_inputs) == [False, False, *everywhere[2:]]
    found = model(x)
    with torch.enable_grad():
        expected = model(x)
    for name, m in found.items():
        torch.testing.assert_close(m, expected[name], rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_paths_that_are_dropped_after_all_are_an_images(small_pieces, mlp_inputs):
    """As some estimate uncertainty: the model in evaluation mode, what is random in training mode."""
    model, x = small_pieces
    model.blocks[1].drop_path.train()
    assert not is_in_pieces(model, x, mlp_inputs)[1]


@torch.no_grad()
def test_hooks_of_every_layer_run():
    model = HieraBackbone("hiera_tiny_224", **SMALL).eval()
    leaves = [name for name, module in model.named_modules() if not list(module.children())]
    seen = set()
    for name in leaves:
        model.get_submodule(name).register_forward_hook(lambda *_, name=name: seen.add(name))
    model(torch.randn(1, 3, 64, 64))
    assert seen == set(leaves)
