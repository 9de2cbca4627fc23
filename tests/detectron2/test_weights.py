"""The original's weights on detectron2: by MODEL.WEIGHTS, and by hiera:// for detectron2's own checkpointer."""

from __future__ import annotations

import logging

import pytest
import torch

pytest.importorskip(
    "detectron2",
    reason="needs detectron2: https://detectron2.readthedocs.io/en/latest/tutorials/install.html",
)
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.modeling import build_model
from detectron2.utils.file_io import PathManager

from hiera_det import HieraBackbone, build_hiera
from hiera_det.detectron2 import path_handler
from hiera_det.weights import hiera, report
from hiera_det.weights.load import load_weights
from hiera_det.weights.trained import load_trained, read_trained

SMALL = {"embed_dim": 8, "num_heads": 1, "stages": (1, 1, 1, 1)}


@pytest.fixture
def original(tmp_path):
    """A file in the original's format, with a decoder as those of the masked autoencoder have."""
    torch.manual_seed(1)
    state = build_hiera("hiera_tiny_224", **SMALL).state_dict()
    torch.save({"model_state": {**state, "mask_token": torch.zeros(1, 1, 2)}}, tmp_path / "mae_hiera_tiny_224.pth")
    return tmp_path / "mae_hiera_tiny_224.pth", state


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))


def assert_loaded(model, state, config):
    """The backbone has the file's weights: as the file itself gives when it is loaded into one."""
    expected = HieraBackbone.from_config(config)
    expected.load_state_dict({k: v for k, v in state.items() if not k.startswith(("norm.", "head."))})
    for key, value in model.backbone.bottom_up.state_dict().items():
        assert torch.equal(value, expected.state_dict()[key]), key


@pytest.mark.parametrize("name", ["quickstart", "retinanet_hiera_b", "cascade_mask_rcnn_hiera_b"])
def test_the_originals_file(config, original, caplog, name):
    path, state = original
    levels = ["MODEL.FPN.IN_FEATURES", "['res2','res3','res4','res5']"] if name == "retinanet_hiera_b" else []
    cfg = config(name, *levels)
    model = build_model(cfg)
    heads = sum(not key.startswith("backbone.bottom_up.") for key in model.state_dict())
    with caplog.at_level(logging.INFO):
        load_weights(model, str(path))
    assert_loaded(model, state, cfg)
    assert f"initialised anew: the {heads} tensors" in caplog.text and "mask_token" in caplog.text


def test_stock_checkpointer(config, original, caplog):
    path, state = original
    cfg = config("quickstart")
    model = build_model(cfg)
    with caplog.at_level(logging.INFO):
        DetectionCheckpointer(model).load(f"hiera://{path}")
    assert_loaded(model, state, cfg)
    for line in ("dropped, the decoder of MAE: mask_token", "dropped, the classifier: norm.weight"):
        assert line in caplog.text
    assert "resized: pos_embed: (1, 3136, 8) to (1, 8, 56, 56)" in caplog.text
    assert "resized: pos_embed_window: split off the plain embedding" in caplog.text


def test_the_licence_of_published_weights_is_shown(original, monkeypatch, caplog):
    monkeypatch.setattr(report, "_shown", set())
    for module in (path_handler, hiera):
        monkeypatch.setattr(module, "local_file", lambda _: original[0])
    for _ in range(2):
        PathManager.get_local_path("hiera://hiera_tiny_224.mae_in1k")
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING] == [
        "hiera://hiera_tiny_224.mae_in1k: the licence of the weights is CC-BY-NC-4.0"
    ]


def test_stock_checkpointer_and_a_bare_backbone(config, original):
    path, state = original
    cfg = config("quickstart", "MODEL.BACKBONE.NAME", "build_hiera_backbone")
    backbone = torch.nn.ModuleDict({"trunk": HieraBackbone.from_config(cfg)})
    DetectionCheckpointer(backbone).load(f"hiera://{path}")
    assert torch.equal(backbone["trunk"].blocks[3].mlp.fc1.weight, state["blocks.3.mlp.fc1.weight"])


def test_what_hiera_urls_refuse(config, original, tmp_path, monkeypatch):
    model = build_model(config("quickstart"))
    torch.save({"model": model.state_dict()}, tmp_path / "detector.pth")
    with pytest.raises(ValueError, match="detector's checkpoint, which detectron2 reads itself: it needs no hiera://"):
        DetectionCheckpointer(model).load(f"hiera://{tmp_path}/detector.pth")
    with pytest.raises(FileNotFoundError, match=r"no weights file at /nowhere/x\.pth"):
        DetectionCheckpointer(model).load("hiera:///nowhere/x.pth")


def test_other_variants_and_other_models(config, original, tmp_path):
    path, _ = original
    other = build_model(config("quickstart", "MODEL.HIERA.EMBED_DIM", "16"))
    with pytest.raises(ValueError, match=r"(?s)another variant.*blocks\.0\.norm1\.weight: \(8,\) in the file"):
        load_weights(other, str(path))
    torch.save({"model": other.state_dict()}, tmp_path / "detector.pth")
    model = build_model(config("quickstart"))
    with pytest.raises(ValueError, match=r"detector\.pth is of another model"):
        load_weights(model, str(tmp_path / "detector.pth"))
    with pytest.raises(ValueError, match=r"detector\.pth is of another model"):
        load_trained(model, read_trained(str(tmp_path / "detector.pth")))


def test_a_model_without_hiera(original):
    path, _ = original
    model = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"the model \(Linear\) has 0 of them"):
        load_weights(model, str(path))


def test_fine_tuning_to_other_classes(config, tmp_path, caplog):
    """The class layers of every head start anew: cascaded box heads, RetinaNet's, masks'."""
    for name, layers, key in (
        ("cascade_mask_rcnn_hiera_b", {f"roi_heads.box_predictor.{i}.cls_score" for i in range(3)}, "ROI_HEADS"),
        ("retinanet_hiera_b", {"head.cls_score"}, "RETINANET"),
    ):
        ten, three = (build_model(config(name, f"MODEL.{key}.NUM_CLASSES", count)) for count in ("10", "3"))
        torch.save({"model": ten.state_dict()}, tmp_path / "ten.pth")
        report = load_weights(three, str(tmp_path / "ten.pth"))
        assert {k.rpartition(".")[0] for k in report.missing} - {"roi_heads.mask_head.predictor"} == layers
        assert all(torch.equal(three.state_dict()[k], ten.state_dict()[k]) for k in report.loaded)


@pytest.mark.parametrize("loader", ["MODEL.WEIGHTS", "detectron2's"])
def test_sam2s_encoder(config, tmp_path, caplog, loader):
    """The trunk as it is, and the neck's kernels as laterals, whose norms leave no place for biases."""
    cfg = config("mask_rcnn_sam2.1_t", "MODEL.HIERA.WINDOW_SIZES", "[8,4,14,7]")
    torch.manual_seed(1)
    model, trunk = build_model(cfg), HieraBackbone.from_config(cfg).state_dict()
    names = {key: key.replace("mlp.fc1", "mlp.layers.0").replace("mlp.fc2", "mlp.layers.1") for key in trunk}
    state = {f"image_encoder.trunk.{names[key]}": value for key, value in trunk.items()}
    kernels = [torch.randn_like(getattr(model.backbone, f"fpn_lateral{level}").weight) for level in (5, 4, 3, 2)]
    for i, kernel in enumerate(kernels):
        state |= {f"image_encoder.neck.convs.{i}.conv.weight": kernel}
        state |= {f"image_encoder.neck.convs.{i}.conv.bias": torch.ones(len(kernel))}
    torch.save({"model": {**state, "no_mem_embed": torch.zeros(1)}}, tmp_path / "sam2.pt")
    with caplog.at_level(logging.INFO):
        if loader == "MODEL.WEIGHTS":
            load_weights(model, tmp_path / "sam2.pt")
        else:
            DetectionCheckpointer(model).load(f"hiera://{tmp_path}/sam2.pt")
    for key, value in model.backbone.bottom_up.state_dict().items():
        assert torch.equal(value, trunk[key]), key
    assert model.backbone.bottom_up.pos_embed.shape[2:] == (7, 7)
    for level, kernel in zip((5, 4, 3, 2), kernels, strict=True):
        lateral = getattr(model.backbone, f"fpn_lateral{level}")
        assert torch.equal(lateral.weight, kernel) and lateral.bias is None
        assert (lateral.norm.weight == 1).all() and (lateral.norm.bias == 0).all()
    assert "dropped, the memory: no_mem_embed" in caplog.text
