"""Weights of every format compute what their own class computes, and reports say what became of each tensor."""

from __future__ import annotations

import logging
import pickle
import re

import pytest
import torch
from safetensors.torch import save_file

from hiera_det import Hiera, HieraBackbone, build_hiera, load_weights
from hiera_det.config import load_config
from hiera_det.detection.model.detector import build_model
from hiera_det.weights import report as report_module
from hiera_det.weights.formats import find_hiera
from hiera_det.weights.hiera import find_encoder, load_hiera

DETECTOR = """MODEL.HIERA.EMBED_DIM 16 MODEL.HIERA.NUM_HEADS 1 MODEL.HIERA.STAGES [1,2,2,1]
    MODEL.HIERA.GLOBAL_BLOCKS [3] MODEL.FPN.OUT_CHANNELS 8
    MODEL.ROI_BOX_HEAD.FC_DIM 8 MODEL.ROI_MASK_HEAD.CONV_DIM 8 MODEL.ROI_HEADS.NUM_CLASSES 3"""
DECODER = {"decoder_hidden_size": 16, "decoder_depth": 1, "decoder_num_heads": 2}


def image(*size: int) -> torch.Tensor:
    return torch.randn(2, 3, *(size or (64, 64)), generator=torch.Generator().manual_seed(2))


def ours(references, **arguments) -> Hiera:
    return Hiera(**{"input_size": (64, 64), "num_classes": 7, **references.small, **arguments}).eval()


@pytest.mark.parametrize("kind", ["small", "video"])  # tests/hiera/test_original.py has the variants
def test_original(kind, references, saved, redraw, relative_error):
    arguments = references.small | (references.video if kind == "video" else {})
    reference, model = references.original(arguments).eval(), ours(references, **arguments)
    redraw(reference)
    report = load_weights(model, saved(reference, "x.pth", "model_state"))
    x = image(*arguments.get("input_size", ()))
    with torch.no_grad():
        (expected, maps), (got, our_maps) = (m(x, return_intermediates=True) for m in (reference, model))
    assert all(relative_error(a, b) < 1e-5 for a, b in zip([got, *our_maps], [expected, *maps], strict=True))
    assert report.loaded == sorted(model.state_dict()) and report.file_format == "original"


@pytest.mark.parametrize("kind", ["small", "video"])
def test_masked_autoencoder(kind, references, saved, redraw, relative_error):
    arguments = references.small | (references.video if kind == "video" else {})
    reference, model = references.mae(arguments).eval(), ours(references, **arguments, q_pool=2)
    redraw(reference)
    report = load_weights(model, saved(reference, "x.pth", "model_state"))
    x, keep = image(*arguments.get("input_size", ())), torch.ones(2, 8 if kind == "video" else 4, dtype=torch.bool)
    with torch.no_grad():
        _, expected = super(type(reference), reference).forward(x, keep, return_intermediates=True)
        _, maps = model(x, keep, return_intermediates=True)
    assert all(relative_error(a, b) < 1e-5 for a, b in zip(maps, expected, strict=True))
    assert torch.equal(model.norm.weight, reference.encoder_norm.weight)
    assert report.missing == ["head.projection.bias", "head.projection.weight"]
    assert list(report.dropped) == ["the decoder of MAE"]


@pytest.mark.parametrize("kind", ["small", "hiera_tiny_224"])
def test_timm(kind, references, saved, on_meta, redraw, relative_error):
    arguments = references.small if kind == "small" else references.variant(kind)
    with on_meta():
        reference, model = references.timm(arguments).eval(), ours(references, **arguments)
    redraw(reference)
    model.to_empty(device="cpu")
    report = load_weights(model, saved(reference, "x.pth"))
    x = image(*arguments.get("input_size", ()))
    with torch.no_grad():
        assert relative_error(model(x), reference(x).softmax(-1)) < 1e-5
    assert report.loaded == sorted(model.state_dict()) and report.file_format == "timm"


def test_timm_absolute_win(references, saved, redraw, relative_error):
    """The global part at its own size: timm resizes it with antialiasing, which SAM 2 does not."""
    reference = references.timm({**references.small, "abs_win_pos_embed": True, "global_pos_size": (16, 16)}).eval()
    model = ours(references, pos_embed="absolute_win", pos_embed_size=(16, 16))
    redraw(reference)
    load_weights(model, saved(reference, "x.pth"))
    with torch.no_grad():
        assert relative_error(model(image()), reference(image()).softmax(-1)) < 1e-5


@pytest.mark.parametrize("kind", ["small", "hiera_tiny_224"])
def test_transformers(kind, references, tmp_path, on_meta, redraw, relative_error):
    arguments = references.small if kind == "small" else references.variant(kind)
    with on_meta():
        reference, model = references.transformers(arguments).eval(), ours(references, **arguments)
    redraw(reference)
    model.to_empty(device="cpu")
    reference.save_pretrained(tmp_path)
    report = load_weights(model, str(tmp_path / "model.safetensors"))
    x = image(*arguments.get("input_size", ()))
    with torch.no_grad():
        assert relative_error(model(x), reference(x).logits.softmax(-1)) < 1e-5
    assert report.loaded == sorted(model.state_dict()) and report.file_format == "transformers"


def test_transformers_masked_autoencoder(references, saved, redraw, relative_error):
    reference = references.transformers(references.small, "HieraForPreTraining", **DECODER).eval()
    redraw(reference)
    trunk = references.transformers(references.small, "HieraModel").eval()
    trunk.load_state_dict(reference.hiera.state_dict(), strict=False)
    trunk.pooler.layernorm.load_state_dict(reference.encoder_norm.state_dict())
    model = ours(references)
    load_weights(model, saved(reference, "x.pth"))
    with torch.no_grad():
        tokens, _ = model.encode(image())
        assert relative_error(model.norm(tokens.mean(1)), trunk(image()).pooler_output) < 1e-5


def test_norms_of_transformers_maps(references, saved, redraw):
    """Its backbone leaves the unroll out and so has other maps; the norms are the same."""
    reference = references.transformers(references.small, "HieraBackbone", out_features=["stage2", "stage4"])
    redraw(reference)
    arguments = {**references.small, "input_size": (64, 64), "global_blocks": (), "pos_embed": "resize"}
    model = HieraBackbone("hiera_tiny_224", ["res3", "res5"], out_norm=True, **arguments)
    load_weights(model, saved(reference, "x.pth"))
    for name, stage in {"norm_res3": "stage2", "norm_res5": "stage4"}.items():
        assert torch.equal(model.get_parameter(f"{name}.weight"), reference.hidden_states_norms[stage].weight)
        assert torch.equal(model.get_parameter(f"{name}.bias"), reference.hidden_states_norms[stage].bias)
    plain = HieraBackbone("hiera_tiny_224", **arguments)
    report = load_weights(plain, saved(reference, "x.pth"))
    assert len(report.dropped["norms of maps"]) == 4


@pytest.mark.parametrize("kind", ["sam2", "sam2-transformers"])
def test_sam2(kind, references, saved, redraw, relative_error):
    reference = (references.sam2 if kind == "sam2" else references.sam2_transformers)(references.small).eval()
    redraw(reference)
    x = image(128, 192)
    with torch.no_grad():
        if kind == "sam2":
            expected = reference.forward_intermediates(x, intermediates_only=True)
            layer = {"fc1": "layers.0", "fc2": "layers.1"}
            names = {key: re.sub(r"(?<=mlp\.)fc\d", lambda m: layer[m[0]], key) for key in reference.state_dict()}
            state = {f"image_encoder.trunk.{names[k]}": v for k, v in reference.state_dict().items() if "head" not in k}
            path = saved({**state, "memory_encoder.fuser.layers.0.gamma": torch.zeros(2)}, "sam2.pt", "model")
        else:
            expected = [m.permute(0, 3, 1, 2) for m in reference(x).intermediate_hidden_states]
            path = saved({f"vision_encoder.backbone.{k}": v for k, v in reference.state_dict().items()}, "sam2.pt")
    windows = {"window_sizes": (8, 4, 6, 3), "global_blocks": (4,), "pos_embed_size": (7, 7)}
    model = HieraBackbone("hiera_tiny_224", **references.small, **windows).eval()
    report = load_weights(model, path)
    with torch.no_grad():
        assert all(relative_error(a, b) < 1e-5 for a, b in zip(model(x).values(), expected, strict=True))
    assert report.file_format == kind and report.licence == "Apache-2.0, if they are SAM 2's"


@pytest.fixture
def detector(request):
    """A whole detector, as its files have it: under detectron2's names."""
    path = request.config.rootpath / "configs" / "quickstart.yaml"
    return lambda *overrides: build_model(load_config(path, [*DETECTOR.split(), *overrides])).eval()


@pytest.mark.parametrize("name", ["x.pth", "x.pkl"])
@pytest.mark.parametrize("part", ["whole", "backbone"])
def test_detectors(name, part, detector, saved, tmp_path, redraw):
    reference, model, backbone = detector(), detector(), detector().backbone.bottom_up
    redraw(reference)
    state = {k: v for k, v in reference.detectron2_state_dict().items() if part == "whole" or "bottom_up" in k}
    path = saved(state, name, "model")
    if name == "x.pkl":
        arrays = {"model": {k: v.numpy() for k, v in state.items()}, "__author__": "a", "matching_heuristics": True}
        (tmp_path / name).write_bytes(pickle.dumps(arrays))
    report = load_weights(model, path)
    assert sorted(report.loaded) == sorted(state)
    for key, value in model.detectron2_state_dict().items():
        assert key not in state or torch.equal(value, state[key]), key
    report = load_weights(backbone, path)
    assert report.loaded == sorted(backbone.state_dict()) and report.file_format == "detectron2"
    assert all(torch.equal(v, state[f"backbone.bottom_up.{k}"]) for k, v in backbone.state_dict().items())


def test_our_own_safetensors(references, tmp_path, redraw):
    reference, model = ours(references), ours(references)
    redraw(reference)
    save_file(reference.state_dict(), tmp_path / "x.safetensors")
    load_weights(model, str(tmp_path / "x.safetensors"))
    assert all(torch.equal(value, reference.state_dict()[key]) for key, value in model.state_dict().items())


def test_the_report_of_a_classifier_in_a_detector(references, detector, saved, caplog):
    reference = build_hiera("hiera_tiny_224", **references.small)
    model = detector("MODEL.HIERA.NORM", "LN")
    with caplog.at_level(logging.INFO):
        report = load_weights(model, saved(reference, "x.pth", "model_state"))
    prefix, encoder = find_encoder(model)
    norms = sorted(prefix + key for key in encoder.state_dict() if key.startswith("norm_res"))
    assert report.missing == norms and len(norms) == 8
    assert report.loaded == sorted(prefix + key for key in encoder.state_dict() if "norm_res" not in key)
    assert report.dropped == {
        "the classifier": ["norm.weight", "norm.bias", "head.projection.weight", "head.projection.bias"]
    }
    assert report.resized == {
        "pos_embed": "the plain embedding without its window part",
        "pos_embed_window": "mean over the mask units of the plain embedding",
    }
    assert report.unexpected == [] and report.licence.startswith("not known; the original's published weights")
    for line in ("x.pth: format original\n", f"loaded: {len(report.loaded)} tensors"):
        assert line in caplog.text
    for line in ("resized: pos_embed: the plain", "missing: backbone", "dropped, the classifier: norm.weight"):
        assert line in caplog.text


def test_maps_that_nobody_reads_and_heads_of_other_classes(references, saved):
    reference = build_hiera("hiera_tiny_224", **references.small)
    path = saved(reference, "x.pth")
    backbone = HieraBackbone("hiera_tiny_224", ["res3"], **references.small, global_blocks=(), pos_embed="resize")
    report = load_weights(backbone, path)
    dropped = report.dropped["blocks after the last map"]
    assert {key.split(".")[1] for key in dropped} == {"3", "4", "5"}
    model = build_hiera("hiera_tiny_224", **references.small, num_classes=9)
    report = load_weights(model, path)
    assert report.dropped == {"a head of other classes": ["head.projection.weight", "head.projection.bias"]}
    assert report.missing == ["head.projection.bias", "head.projection.weight"]


@pytest.mark.parametrize(
    "name, shape",
    [
        ("head.projection.weight", (9, 16)),
        ("head.projection.weight", (7, 12)),
        ("head.projection.weight", ()),
        ("head.projection.bias", (9,)),
        ("norm.weight", (5,)),
    ],
)
def test_a_damaged_classifier_is_not_one_of_other_classes(name, shape, references, saved):
    reference, model = ours(references), ours(references)
    line = re.escape(f"{name}: {shape} in the file")
    with pytest.raises(ValueError, match=rf"(?s)another variant.*{line}"):
        load_weights(model, saved({**reference.state_dict(), name: torch.zeros(shape)}, "x.pth"), strict=False)


def test_licences_are_shown_once_in_a_process(references, monkeypatch, caplog):
    """As warnings, which plain Python shows; what is not known is no news."""
    monkeypatch.setattr(report_module, "_shown", set())
    weights = find_hiera(ours(references).state_dict(), "x.pth")
    for source in "hiera_tiny_224.mae_in1k", "hf://facebook/hiera-tiny-224-hf", "x.pth":
        load_hiera(ours(references), weights, source)
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert lines == ["hiera_tiny_224.mae_in1k: the licence of the weights is CC-BY-NC-4.0"]


def test_a_path_is_a_source(references, tmp_path):
    torch.save(ours(references).state_dict(), tmp_path / "x.pth")
    assert load_weights(ours(references), tmp_path / "x.pth").source == str(tmp_path / "x.pth")


def test_strict_and_not(references, saved, caplog):
    state = ours(references).state_dict()
    state["blocks.0.ls1.gamma"] = state.pop("blocks.0.norm1.bias")
    model, path = ours(references), saved(state, "x.pth")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    message = (
        r"(?s)x\.pth \(format original\).*missing in the file: blocks\.0\.norm1\.bias.*unknown.*blocks\.0\.ls1\.gamma"
    )
    with pytest.raises(ValueError, match=message):
        load_weights(model, path)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    report = load_weights(model, path, strict=False)
    assert (report.missing, report.unexpected) == (["blocks.0.norm1.bias"], ["blocks.0.ls1.gamma"])
    assert report.loaded == sorted(before.keys() - {"blocks.0.norm1.bias"})
    assert "missing: blocks.0.norm1.bias" in caplog.text and "unexpected: blocks.0.ls1.gamma" in caplog.text
    assert torch.equal(model.blocks[0].norm1.bias, before["blocks.0.norm1.bias"])
    wide = ours(references, embed_dim=24)
    with pytest.raises(ValueError, match=r"blocks\.0\.norm1\.weight: \(16,\) in the file, \(24,\) in the model"):
        load_weights(wide, path, strict=False)


def test_models_without_a_hiera_and_with_two(references, saved):
    path = saved(ours(references), "x.pth")
    with pytest.raises(ValueError, match=r"the model \(Linear\) has 0 of them, expected one"):
        load_weights(torch.nn.Linear(2, 2), path)
    with pytest.raises(ValueError, match="has 2 of them"):
        load_weights(torch.nn.ModuleList([ours(references), ours(references)]), path)
