"""MODEL.WEIGHTS: formats, reports and refusals."""

from __future__ import annotations

import logging
import os

import pytest
import torch

from hiera_det import build_hiera
from hiera_det.config import load_config
from hiera_det.detection.model.detector import build_model
from hiera_det.detection.model.detectron2_names import to_detectron2
from hiera_det.weights.load import load_weights
from hiera_det.weights.trained import load_trained, read_trained

SMALL = {"embed_dim": 16, "num_heads": 1, "stages": (1, 1, 2, 1)}
OVERRIDES = """MODEL.HIERA.EMBED_DIM 16 MODEL.HIERA.NUM_HEADS 1 MODEL.HIERA.STAGES [1,1,2,1]
    MODEL.HIERA.GLOBAL_BLOCKS [3]
    MODEL.FPN.OUT_CHANNELS 8 MODEL.ROI_BOX_HEAD.FC_DIM 8 MODEL.ROI_MASK_HEAD.CONV_DIM 8 MODEL.ROI_HEADS.NUM_CLASSES 3"""


def read_and_load(model, source) -> None:
    """As evaluation and prediction do."""
    load_trained(model, read_trained(source))


def detector(*overrides: str):
    return build_model(load_config("configs/quickstart.yaml", [*OVERRIDES.split(), *overrides]))


@pytest.fixture(autouse=True)
def in_repository(monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)


@pytest.fixture
def original(tmp_path):
    """A file in the format that the original publishes for its masked autoencoders."""
    torch.manual_seed(1)
    state = build_hiera("hiera_tiny_224", **SMALL).state_dict()
    state = {key.replace("norm.", "encoder_norm.") if key.startswith("norm.") else key: v for key, v in state.items()}
    state = {key: value for key, value in state.items() if not key.startswith("head.")}
    state |= {"decoder_embed.weight": torch.zeros(2, 2), "mask_token": torch.zeros(1, 1, 2)}
    state |= {"multi_scale_fusion_heads.0.weight": torch.zeros(2), "decoder_pos_embed": torch.zeros(1, 4, 2)}
    torch.save({"model_state": state}, tmp_path / "mae_hiera_tiny_224.pth")
    return tmp_path / "mae_hiera_tiny_224.pth", state


def test_empty_means_from_scratch_and_is_said(caplog):
    model = detector()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with caplog.at_level(logging.INFO):
        load_weights(model, "")
    assert "training from scratch" in caplog.text
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("scheme", ["", "hiera://"])
def test_the_originals_file_fills_the_backbone(original, caplog, scheme):
    path, state = original
    model = detector()
    heads = {k: v.clone() for k, v in model.state_dict().items() if not k.startswith("backbone.bottom_up.")}
    with caplog.at_level(logging.INFO):
        load_weights(model, f"{scheme}{path}")
    bottom_up = model.backbone.bottom_up.state_dict()
    for key, value in state.items():
        if key.startswith(("blocks.", "patch_embed.")):
            assert torch.equal(bottom_up[key], value), key
    tiled = bottom_up["pos_embed_window"].tile(1, 1, 7, 7) + bottom_up["pos_embed"]
    torch.testing.assert_close(tiled.flatten(2).transpose(1, 2), state["pos_embed"])
    assert all(torch.equal(model.state_dict()[key], value) for key, value in heads.items())
    assert "format original" in caplog.text and "mask_token" in caplog.text
    assert f"initialised anew: the {len(heads)} tensors" in caplog.text


def test_blocks_after_the_last_map_are_not_loaded(original, caplog):
    path, state = original
    levels = ["MODEL.RPN.IN_FEATURES", "['p2','p3']", "MODEL.ROI_HEADS.IN_FEATURES", "['p2','p3']"]
    anchors = ["MODEL.ANCHOR_GENERATOR.SIZES", "[[16]]"]
    model = detector("MODEL.FPN.IN_FEATURES", "['res2','res3','res4']", *levels, *anchors)
    with caplog.at_level(logging.INFO):
        load_weights(model, str(path))
    bottom_up = model.backbone.bottom_up.state_dict()
    assert torch.equal(bottom_up["blocks.3.norm1.weight"], state["blocks.3.norm1.weight"])
    assert "blocks.4.norm1.weight" not in bottom_up
    assert "dropped, blocks after the last map: blocks… (" in caplog.text


def test_a_detectors_file_round_trips(tmp_path):
    torch.manual_seed(1)
    source, target = detector(), detector()
    torch.save({"model": to_detectron2(source.state_dict())}, tmp_path / "model.pth")
    load_weights(target, str(tmp_path / "model.pth"))
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in target.state_dict().items())


def test_mismatched_shapes_are_all_named(tmp_path):
    torch.save({"model": to_detectron2(detector().state_dict())}, tmp_path / "model.pth")
    with pytest.raises(ValueError, match=r"model\.pth is of another model") as error:
        load_weights(detector("MODEL.ROI_BOX_HEAD.FC_DIM", "9"), str(tmp_path / "model.pth"))
    text = str(error.value)
    assert "roi_heads.box_predictor.cls_score.weight: (4, 8) in the checkpoint, (4, 9) in the model" in text
    assert "roi_heads.box_head.fc1.bias: (8,) in the checkpoint, (9,) in the model" in text
    with pytest.raises(ValueError, match=r"bbox_pred\.bias: \(12,\) in the checkpoint, \(20,\) in the model"):
        read_and_load(detector("MODEL.ROI_HEADS.NUM_CLASSES", "5"), str(tmp_path / "model.pth"))


def test_fine_tuning_to_other_classes_keeps_the_rest(tmp_path, caplog):
    source, target = detector(), detector("MODEL.ROI_HEADS.NUM_CLASSES", "5")
    torch.save({"model": to_detectron2(source.state_dict())}, tmp_path / "model.pth")
    before = to_detectron2({key: value.clone() for key, value in target.state_dict().items()})
    load_weights(target, str(tmp_path / "model.pth"))
    expected = to_detectron2(source.state_dict())
    anew = [k for k, v in to_detectron2(target.state_dict()).items() if v.shape != expected[k].shape]
    layers = ["box_predictor.bbox_pred", "box_predictor.cls_score", "mask_head.predictor"]
    assert sorted(anew) == [f"roi_heads.{layer}.{part}" for layer in layers for part in ("bias", "weight")]
    for key, value in to_detectron2(target.state_dict()).items():
        assert torch.equal(value, before[key] if key in anew else expected[key]), key
    assert "another number of classes; initialised anew: roi_heads.box_predictor.cls_score.weight" in caplog.text


@pytest.mark.parametrize("prefix, key", [("module.", "model"), ("model.", "state_dict")])
def test_a_detector_that_was_saved_in_a_wrapper(prefix, key, tmp_path):
    """DistributedDataParallel's, Lightning's."""
    source = detector()
    state = {prefix + name: value for name, value in to_detectron2(source.state_dict()).items()}
    torch.save({key: state}, tmp_path / "model.pth")
    for load in [load_weights, read_and_load] if key == "model" else [load_weights]:
        target = detector()
        load(target, tmp_path / "model.pth")
        assert all(torch.equal(value, source.state_dict()[name]) for name, value in target.state_dict().items())


def test_a_detector_of_another_kind_names_the_way(tmp_path):
    state = to_detectron2(detector().state_dict())
    state = {name: value for name, value in state.items() if "mask_head" not in name}
    torch.save({"model": state}, tmp_path / "faster.pth")
    with pytest.raises(ValueError, match=r"missing: roi_heads\.mask_head") as caught:
        load_weights(detector(), tmp_path / "faster.pth")
    command = str(caught.value).rpartition("take it out: ")[2]
    assert command == f"hiera-det convert {tmp_path}/faster.pth backbone.pth --to original"


@pytest.mark.parametrize("load", [load_weights, read_and_load])
@pytest.mark.parametrize(
    "name, tensor, message",
    [
        ("cls_score.bias", torch.tensor(0.0), r"cls_score\.bias: \(\) in the checkpoint, \(4,\) in the model"),
        ("cls_score.bias", torch.full((4,), float("nan")), r"cls_score\.bias: NaN or infinite"),
        ("cls_score.bias", torch.zeros(4, dtype=torch.int64), r"cls_score\.bias: torch\.int64"),
    ],
)
def test_damaged_heads(load, name, tensor, message, tmp_path):
    state = to_detectron2(detector().state_dict())
    torch.save({"model": {**state, f"roi_heads.box_predictor.{name}": tensor}}, tmp_path / "model.pth")
    with pytest.raises(ValueError, match=message):
        load(detector(), str(tmp_path / "model.pth"))


def test_another_variants_backbone_is_refused(original):
    path, _ = original
    with pytest.raises(ValueError, match=r"(?s)another variant.*blocks\.0\.norm1\.weight"):
        load_weights(detector("MODEL.HIERA.EMBED_DIM", "32"), str(path))


def test_missing_backbone_weights_are_refused(original, tmp_path):
    _, state = original
    state["blocks.9.norm1.bias"] = state.pop("blocks.2.mlp.fc1.bias")
    torch.save({"model_state": state}, tmp_path / "part.pth")
    with pytest.raises(ValueError, match=r"missing in the file: blocks\.2\.mlp\.fc1\.bias\n") as e:
        load_weights(detector(), str(tmp_path / "part.pth"))
    assert "unknown to the model: blocks.9.norm1.bias" in str(e.value)


def test_files_that_are_no_checkpoints(tmp_path, original):
    everything = original[0].read_bytes()
    for name, content in {"cut": everything[: len(everything) // 2], "empty": b"", "text": b"hello"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name} \({len(content)} bytes\) cannot be read as a checkpoint"):
            load_weights(detector(), str(tmp_path / name))
    torch.save({"weights": {}}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"keys \['weights'\]; expected a state dict"):
        load_weights(detector(), str(tmp_path / "other.pth"))
    torch.save({"model": torch.zeros(2)}, tmp_path / "tensor.pth")
    with pytest.raises(ValueError, match="'model' is a Tensor, expected a dict of tensors"):
        load_weights(detector(), str(tmp_path / "tensor.pth"))
    torch.save([1], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="holds a list"):
        load_weights(detector(), str(tmp_path / "list.pth"))


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_hostile_pickle_is_not_run(tmp_path):
    torch.save({"model": Hostile(str(tmp_path / "made"))}, tmp_path / "hostile.pth")
    with pytest.raises(ValueError, match="holds other objects"):
        load_weights(detector(), str(tmp_path / "hostile.pth"))
    assert not (tmp_path / "made").exists()


def test_a_missing_file():
    with pytest.raises(FileNotFoundError, match=r"no weights file at nowhere\.pth"):
        load_weights(detector(), "nowhere.pth")
