"""Backbones where code expects timm's or transformers': against timm's own, and under heads of transformers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hiera_det import HieraBackbone, load_weights
from hiera_det.hiera.adapters import TimmFeatures, TransformersBackbone

SMALL = {"embed_dim": 16, "num_heads": 1, "stages": (1, 1, 2, 1), "global_blocks": (3,)}


@pytest.mark.parametrize("indices", [(0, 1, 2, 3), (1, 3)])
def test_features_are_timms(indices, tmp_path):
    timm = pytest.importorskip("timm")
    theirs = timm.create_model("hiera_tiny_224", features_only=True, out_indices=indices).eval()
    for parameter in theirs.parameters():  # a trained scale
        parameter.data.normal_(std=0.05)
    torch.save({k.removeprefix("model."): v for k, v in theirs.state_dict().items()}, tmp_path / "timm.pth")
    names = [f"res{i + 2}" for i in indices]
    ours = TimmFeatures(HieraBackbone("hiera_tiny_224", names, layout="released", pos_embed="resize")).eval()
    load_weights(ours, str(tmp_path / "timm.pth"))

    info, expected = ours.feature_info, theirs.feature_info
    assert info.info == expected.info and info.out_indices == expected.out_indices
    for method in "channels", "reduction", "module_name":
        for idx in (), (2,), ([0, 3],):
            assert getattr(info, method)(*idx) == getattr(expected, method)(*idx)
    for arguments in (), (["num_chs", "reduction"],), (None, [0, 3]), (["module"], 2), (None, 1):
        assert info.get_dicts(*arguments) == expected.get_dicts(*arguments)
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        maps = ours(x)
        assert isinstance(maps, list) and [m.shape[1] for m in maps] == info.channels()
        for got, wanted in zip(maps, theirs(x), strict=True):
            assert (got - wanted).abs().max() < 1e-5 * wanted.abs().max()


def small(*names: str) -> TransformersBackbone:
    torch.manual_seed(0)
    return TransformersBackbone(HieraBackbone("hiera_tiny_224", names, **SMALL)).eval()


def test_names_and_channels_are_those_of_transformers():
    transformers = pytest.importorskip("transformers")
    config = transformers.HieraConfig(embed_dim=16, depths=[1, 1, 2, 1], out_features=["stage2", "stage4"])
    theirs = transformers.HieraBackbone(config)
    ours = small("res5", "res3")
    for name in "stage_names", "out_features", "out_indices", "channels":
        assert list(getattr(ours, name)) == list(getattr(theirs, name)), name
    with torch.no_grad():
        got, wanted = (model(torch.randn(1, 3, 224, 224)).feature_maps for model in (ours, theirs))
    assert isinstance(got, tuple) and [m.shape for m in got] == [m.shape for m in wanted]


def test_upernet_runs_on_it(monkeypatch):
    modeling = pytest.importorskip("transformers.models.upernet.modeling_upernet")
    backbone = small("res2", "res3", "res4", "res5")
    monkeypatch.setattr(modeling, "load_backbone", lambda config: backbone)
    config = modeling.UperNetConfig(hidden_size=16, auxiliary_in_channels=64, auxiliary_channels=8, num_labels=3)
    model = modeling.UperNetForSemanticSegmentation(config).train()
    x = torch.randn(2, 3, 64, 96)
    out = model(pixel_values=x, labels=torch.zeros(2, 64, 96, dtype=torch.long))
    assert out.logits.shape == (2, 3, 64, 96)
    out.loss.backward()
    assert backbone.backbone.patch_embed.proj.weight.grad.abs().sum() > 0
    with pytest.raises(ValueError, match="gives feature_maps only"):
        model(pixel_values=x, output_hidden_states=True)


def test_mask2formers_pixel_decoder_runs_on_it(monkeypatch):
    modeling = pytest.importorskip("transformers.models.mask2former.modeling_mask2former")
    backbone = small("res2", "res3", "res4", "res5")
    monkeypatch.setattr(modeling, "load_backbone", lambda config: backbone)
    sizes = {"feature_size": 32, "mask_feature_size": 32, "hidden_dim": 32, "encoder_feedforward_dim": 32}
    config = modeling.Mask2FormerConfig(**sizes, encoder_layers=1, num_attention_heads=2)
    module: nn.Module = modeling.Mask2FormerPixelLevelModule(config).eval()
    with torch.no_grad():
        out = module(torch.randn(1, 3, 64, 96))
    assert out.encoder_last_hidden_state.shape == (1, 128, 2, 3)
    assert out.decoder_last_hidden_state.shape == (1, 32, 16, 24)
