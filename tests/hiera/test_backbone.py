"""HieraBackbone: declared maps, freezing, norms, checkpointing, compilation, precision."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

import hiera_det
from hiera_det import HieraBackbone
from hiera_det.config import get_cfg
from hiera_det.hiera import encoder

SMALL = {"embed_dim": 16, "num_heads": 1, "stages": (1, 1, 2, 1), "global_blocks": (3,)}


def small(**overrides) -> HieraBackbone:
    torch.manual_seed(0)
    return HieraBackbone("hiera_tiny_224", **{**SMALL, **overrides})


@pytest.mark.parametrize("name", ["hiera_tiny_224", "hiera_base_16x224"])
def test_declared_channels_and_strides_hold(name):
    model = HieraBackbone(name, **SMALL).eval()
    size = (2, 64, 96) if "16x224" in name else (64, 96)
    maps = model(torch.randn(1, 3, *size))
    assert model.strides == {"res2": 4, "res3": 8, "res4": 16, "res5": 32}
    for feature, m in maps.items():
        assert m.shape[1] == model.channels[feature]
        assert m.shape[-2:] == (64 // model.strides[feature], 96 // model.strides[feature])


def test_maps_are_chosen_and_later_blocks_are_not_kept():
    whole, part = small().eval(), small(out_features=("res4", "res3")).eval()
    assert part.out_features == ("res3", "res4")
    part.load_state_dict({k: v for k, v in whole.state_dict().items() if not k.startswith("blocks.4.")}, strict=True)
    x = torch.randn(1, 3, 64, 64)
    maps = whole(x)
    for name, m in part(x).items():
        assert torch.equal(m, maps[name])
    with pytest.raises(ValueError, match=r"out_features=\('res6',\): expected some of res2, res3, res4, res5"):
        small(out_features=("res6",))


@pytest.mark.parametrize("freeze_at, trainable", [(0, None), (1, "blocks.0."), (2, "blocks.1."), (3, "blocks.2.")])
def test_freezing_the_first_stages(freeze_at, trainable):
    model = small(freeze_at=freeze_at, drop_path_rate=0.5)
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    if trainable is None:
        assert not frozen
        return
    first = int(trainable.split(".")[1])
    expected = {n for n, _ in model.named_parameters() if n.startswith(("patch_embed", "pos_embed"))}
    expected |= {n for n, _ in model.named_parameters() if n.startswith("blocks.") and int(n.split(".")[1]) < first}
    assert frozen == expected
    model.train()
    x = torch.randn(2, 3, 64, 64)
    last_frozen = f"res{freeze_at}"
    if freeze_at > 1:  # nothing random is left in front of a frozen stage's end
        assert torch.equal(model(x)[last_frozen], model(x)[last_frozen])
    sum(m.sum() for m in model(x).values()).backward()
    with pytest.raises(ValueError, match="freeze_at=6: expected 0 to 5"):
        small(freeze_at=6)


def test_out_norm_is_a_layer_norm_over_channels():
    plain, normed = small().eval(), small(out_norm=True).eval()
    assert not normed.load_state_dict(plain.state_dict(), strict=False).unexpected_keys
    x = torch.randn(1, 3, 64, 64)
    for name, m in normed(x).items():
        expected = torch.nn.functional.layer_norm(plain(x)[name].movedim(1, -1), (m.shape[1],), eps=1e-6).movedim(-1, 1)
        torch.testing.assert_close(m, expected)


def test_activation_checkpointing_changes_no_gradient(monkeypatch):
    calls = []
    checkpoint = encoder.checkpoint
    monkeypatch.setattr(encoder, "checkpoint", lambda *a, **k: calls.append(a[0]) or checkpoint(*a, **k))
    models = [small(activation_checkpointing=flag, drop_path_rate=0.5).train() for flag in (False, True)]
    x = torch.randn(4, 3, 64, 64)
    for model, checkpointed in zip(models, ([], list(models[1].blocks)), strict=True):
        calls.clear()
        torch.manual_seed(1)  # the same paths are dropped in both, and dropped again as blocks are recomputed
        sum(m.square().mean() for m in model(x).values()).backward()
        assert calls == checkpointed
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_drop_path_drops_whole_samples_at_the_rate_of_each_block():
    model = small(drop_path_rate=0.4)
    rates = [getattr(block.drop_path, "p", 0.0) for block in model.blocks]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    x = torch.randn(4, 3, 64, 64)
    assert not torch.equal(model.train()(x)["res5"], model(x)["res5"])
    assert torch.equal(model.eval()(x)["res5"], model(x)["res5"])


@pytest.mark.parametrize("overrides", [{"layout": "released"}, {"window_sizes": (8, 4, 6, 3)}])
def test_compiles_without_graph_breaks(overrides):
    model = small(**overrides).eval()
    x = torch.randn(1, 3, 70, 100)
    with torch.no_grad():
        compiled = torch.compile(model, fullgraph=True, dynamic=False, backend="aot_eager")(x)
        for name, m in model(x).items():
            torch.testing.assert_close(compiled[name], m)


def test_compiles_without_graph_breaks_in_training():
    plain, model = (small(window_sizes=(8, 4, 6, 3), activation_checkpointing=True).train() for _ in range(2))
    x = torch.randn(2, 3, 64, 64)
    for run in plain, torch.compile(model, fullgraph=True, dynamic=False, backend="aot_eager"):
        sum(m.square().mean() for m in run(x).values()).backward()
    for a, b in zip(plain.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


@pytest.mark.parametrize("overrides", [{}, {"layout": "released"}, {"window_sizes": (8, 4, 6, 3)}])
def test_attention_is_fused_in_every_block(overrides):
    model = small(**overrides).eval()
    x = torch.randn(2, 3, 96, 128)
    with torch.no_grad(), sdpa_kernel(SDPBackend.FLASH_ATTENTION):  # raises where a call would fall back
        fused = model(x)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        for name, m in model(x).items():
            torch.testing.assert_close(fused[name], m, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast(dtype):
    model = small().eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        full = model(x)
        with torch.autocast("cpu", dtype):
            half = model(x)
    for name, m in full.items():
        assert (half[name].float() - m).abs().max() < 0.03 * m.abs().max()


def test_from_config_takes_every_key():
    cfg = get_cfg()
    node = cfg.MODEL.HIERA
    node.NAME, node.EMBED_DIM, node.NUM_HEADS, node.STAGES = "hiera_tiny_224", 16, 2, [1, 1, 2, 1]
    node.GLOBAL_BLOCKS, node.WINDOW_SIZES, node.LAYOUT, node.POS_EMBED = [3], [8, 4, 6, 3], "windowed", "resize"
    node.DROP_PATH_RATE, node.OUT_FEATURES, node.NORM, node.ACTIVATION_CHECKPOINTING = 0.2, ["res2", "res5"], "LN", True
    cfg.MODEL.BACKBONE.FREEZE_AT = 1
    model = HieraBackbone.from_config(cfg)
    assert model.channels == {"res2": 16, "res5": 128}
    assert model.blocks[0].attn.heads == 2 and len(model.blocks) == 5
    assert model.block_windows == [(8, 8), (8, 8), (4, 4), None, (6, 6)]
    assert model.blocks[-1].drop_path.p == pytest.approx(0.2)
    assert model.activation_checkpointing and not model.patch_embed.proj.weight.requires_grad
    assert model.norm_res5.normalized_shape == (128,) and "pos_embed_window" not in model.state_dict()
    assert HieraBackbone.from_config(cfg, ["res3"]).out_features == ("res3",)
    node.POS_EMBED, node.POS_EMBED_SIZE = "absolute_win", [7, 5]
    assert HieraBackbone.from_config(cfg).pos_embed.shape == (1, 16, 7, 5)
    node.NORM = "BN"
    with pytest.raises(ValueError, match=r"MODEL\.HIERA\.NORM='BN': expected '' or 'LN'"):
        HieraBackbone.from_config(cfg)


def test_the_room_knows_no_config_and_no_room_but_utils(pytestconfig):
    found = set()
    for path in (pytestconfig.rootpath / "hiera_det" / "hiera").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {name.name for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module)
    rooms = {".".join(name.split(".")[:2]) for name in found if name.startswith("hiera_det")}
    assert rooms == {"hiera_det.hiera", "hiera_det.utils"}
    assert not {name.split(".")[0] for name in found} & {"fvcore", "iopath", "yaml", "lightning"}


def test_import_brings_neither_backend_nor_lightning_nor_opencv():
    code = (
        "import sys, hiera_det; "
        "print([m for m in ('cv2', 'lightning', 'detectron2', 'hiera_det.detection') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
    backbone = {"Hiera", "HieraBackbone", "MaskedAutoencoderHiera", "build_hiera", "load_weights"}
    assert set(hiera_det.__all__) == backbone | {"RunOptions", "evaluate", "load", "train"}
    assert set(hiera_det.__all__) <= set(dir(hiera_det))
