"""torch.hub's entry points, from this checkout, with a zoo on disk."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hiera_det import Hiera
from hiera_det.hiera.variants import MAE_VARIANTS, VARIANTS
from hiera_det.weights import zoo

CHECKOUT = str(Path(__file__).parents[1])
SMALL = {"embed_dim": 16, "num_heads": 1, "stages": (1, 1, 2, 1)}


def load(name: str, **arguments) -> Hiera:
    return torch.hub.load(CHECKOUT, name, source="local", **SMALL, **arguments)


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Small weights where torch.hub's cache has the published files of hiera_base_224: they are not downloaded."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    model = Hiera(**SMALL, num_classes=11)
    state = model.state_dict()
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save({"model_state": state}, folder / "hiera_base_224.pth")
    mae = {k.replace("norm.", "encoder_norm.") if k.startswith("norm.") else k: v for k, v in state.items()}
    mae = {k: v for k, v in mae.items() if not k.startswith("head.")} | {"decoder_pos_embed": torch.zeros(1)}
    torch.save({"model_state": mae}, folder / "mae_hiera_base_224.pth")
    return state


def test_every_variant_is_an_entry_and_nothing_else():
    hubconf = torch.hub._import_module("hubconf", f"{CHECKOUT}/hubconf.py")  # as torch.hub.list, for a folder
    entries = [name for name in dir(hubconf) if callable(getattr(hubconf, name)) and not name.startswith("_")]
    assert sorted(entries) == sorted(VARIANTS | MAE_VARIANTS)
    assert "mae_k400_ft_k400, mae_k400" in hubconf.hiera_large_16x224.__doc__


def test_without_weights():
    torch.manual_seed(0)
    model = load("hiera_base_16x224", num_classes=5, drop_path_rate=0.3)
    assert model.head.projection.out_features == 5 and model.blocks[-1].drop_path.p == pytest.approx(0.3)
    assert len(model.patch_stride) == 3


@pytest.mark.parametrize("checkpoint", [{}, {"checkpoint": "mae_in1k_ft_in1k"}])
def test_the_checkpoint_gives_the_number_of_classes(published, checkpoint):
    model = load("hiera_base_224", pretrained=True, **checkpoint)
    assert model.head.projection.out_features == 11
    assert all(torch.equal(value, published[key]) for key, value in model.state_dict().items())


def test_another_number_of_classes_gets_a_new_head(published, caplog):
    with caplog.at_level(logging.WARNING):
        model = load("hiera_base_224", pretrained=True, num_classes=3)
    assert model.head.projection.out_features == 3
    assert torch.equal(model.norm.weight, published["norm.weight"])
    assert "missing: head.projection.bias, head.projection.weight" in caplog.text


def test_mae_weights_have_no_head(published, caplog):
    with caplog.at_level(logging.WARNING):
        model = load("hiera_base_224", pretrained=True, checkpoint="mae_in1k")
    assert torch.equal(model.blocks[1].attn.qkv.weight, published["blocks.1.attn.qkv.weight"])
    assert model.head.projection.out_features == 1000
    assert "head.projection" in caplog.text and "the decoder of MAE: decoder_pos_embed" in caplog.text


def test_an_unknown_checkpoint(published):
    with pytest.raises(ValueError, match=r"hiera_base_224\.in21k; there are mae_in1k_ft_in1k, mae_in1k$"):
        load("hiera_base_224", pretrained=True, checkpoint="in21k")


@pytest.mark.parametrize("name", VARIANTS)
def test_default_and_choice_are_the_originals(name):
    original = pytest.importorskip("hiera", reason="pip install hiera-transformer")
    theirs = getattr(original, name)
    there = zoo.checkpoints_of(name)
    assert there[0] == theirs.default and set(there) == set(theirs.checkpoints)


IMPORTED = """
import ast, sys
import hubconf, hiera_det.weights.build
found = set()
for module in [m for name, m in sys.modules.items() if name.split(".")[0] == "hiera_det"]:
    for node in ast.parse(open(module.__file__, encoding="utf-8").read()).body:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module.split(".")[0])
missing = found - set(sys.stdlib_module_names) - {"hiera_det"} ^ set(hubconf.dependencies)
sys.exit(f"not the same: {missing}" if missing else 0)
"""


@pytest.mark.slow
def test_dependencies_are_what_is_imported():
    done = subprocess.run([sys.executable, "-c", IMPORTED], cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
