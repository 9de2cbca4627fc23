"""Files for other packages, opened by these: equal outputs, strictly; and what is refused."""

from __future__ import annotations

import json
import logging
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from hiera_det import Hiera, HieraBackbone, build_hiera, load_weights
from hiera_det.cli.convert import main
from hiera_det.weights.convert import convert_checkpoint


def image(*size: int) -> torch.Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def tiny(redraw, tmp_path_factory):
    """Hiera-T for 64 x 64 pixels at a trained scale, and its file; nobody writes to them."""
    with torch.device("meta"):
        model = build_hiera("hiera_tiny_224", input_size=(64, 64), num_classes=7).eval()
    redraw(model)
    path = tmp_path_factory.mktemp("tiny") / "in.pth"
    torch.save({"model_state": model.state_dict()}, path)
    return model, str(path)


def reference_of(to: str, references, out: Path, on_meta) -> torch.nn.Module:
    """Another package's model with what was written, as its users open it."""
    arguments = {**references.variant("hiera_tiny_224"), "input_size": (64, 64), "num_classes": 7}
    if to == "transformers":
        return pytest.importorskip("transformers").HieraForImageClassification.from_pretrained(out).eval()
    with on_meta():
        reference = (references.original if to == "original" else references.timm)(arguments)
    state = load_file(out) if out.suffix == ".safetensors" else torch.load(out, weights_only=True)
    reference.load_state_dict(state["model_state"] if to == "original" else state, strict=True, assign=True)
    return reference.eval()


@pytest.mark.parametrize(
    ("to", "name"), [("original", "x.pth"), ("timm", "x.pth"), ("timm", "x.safetensors"), ("transformers", "x")]
)
def test_references_compute_the_same_and_the_way_back_is_lossless(
    to, name, tiny, references, on_meta, tmp_path, relative_error
):
    model, source = tiny
    out = tmp_path / "new" / name
    main([source, str(out), "--to", to])
    reference, x = reference_of(to, references, out, on_meta), image(64, 64)
    with torch.no_grad():
        expected, got = model(x), reference(x)
    if to != "original":
        got = getattr(got, "logits", got).softmax(-1)
    assert relative_error(got, expected) < 1e-5
    back = tmp_path / "back.pth"
    main([str(out / "model.safetensors" if to == "transformers" else out), str(back), "--to", "original"])
    state = torch.load(back, weights_only=True)["model_state"]
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in state.items())


def test_transformers_reads_the_whole_folder(tmp_path, redraw, saved, relative_error):
    transformers = pytest.importorskip("transformers")
    with torch.device("meta"):
        model = build_hiera("hiera_tiny_224").eval()
    redraw(model)
    convert_checkpoint(saved(model, "in.pth"), tmp_path / "x", "transformers")
    assert {path.name for path in (tmp_path / "x").iterdir()} == {
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    }
    reference, report = transformers.AutoModelForImageClassification.from_pretrained(
        tmp_path / "x", output_loading_info=True
    )
    assert type(reference).__name__ == "HieraForImageClassification" and not any(report.values())
    default = transformers.HieraConfig(depths=[1, 2, 7, 2]).to_dict()
    ours = reference.config.to_dict()
    names = {"embed_dim", "image_size", "depths", "num_heads", "patch_size", "masked_unit_size", "layer_norm_eps"}
    assert {name: list(np.ravel(ours[name])) for name in names} == {n: list(np.ravel(default[n])) for n in names}
    assert len(reference.config.id2label) == 1000
    with torch.no_grad():
        assert relative_error(reference.eval()(image(224, 224)).logits.softmax(-1), model(image(224, 224))) < 1e-5


@pytest.mark.parametrize("side", [224, 64])
def test_the_processor_is_the_originals_evaluation(side, tmp_path, saved):
    transformers = pytest.importorskip("transformers")
    model = build_hiera("hiera_tiny_224", input_size=(side, side), num_classes=2)
    convert_checkpoint(saved(model, "in.pth"), tmp_path / "x", "transformers")
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path / "x")
    assert type(processor).__name__.startswith("BitImageProcessor")
    assert processor.size["shortest_edge"] == int(side / 0.875) and processor.crop_size["height"] == side
    pixels = processor(np.full((300, 400, 3), 255, np.uint8), return_tensors="pt")["pixel_values"]
    assert pixels.shape == (1, 3, side, side)
    white = [(1 - mean) / std for mean, std in zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)]
    torch.testing.assert_close(pixels[0].mean((1, 2)), torch.tensor(white))


def test_without_a_classifier(tiny, references, on_meta, tmp_path, saved, relative_error):
    """Masked autoencoders have a norm, which each reference keeps."""
    transformers = pytest.importorskip("transformers")
    model, _ = tiny
    state = {
        key.replace("norm.", "encoder_norm.") if key[:5] == "norm." else key: v for key, v in model.state_dict().items()
    }
    mae = saved({key: value for key, value in state.items() if "head" not in key}, "mae.pth", "model_state")
    convert_checkpoint(mae, tmp_path / "mae", "transformers")
    reference = transformers.AutoModel.from_pretrained(tmp_path / "mae").eval()
    assert type(reference).__name__ == "HieraModel"
    with torch.no_grad():
        pooled = model.norm(model.encode(image(64, 64))[0].mean(1))
        assert relative_error(reference(image(64, 64)).pooler_output, pooled) < 1e-5
    convert_checkpoint(mae, tmp_path / "mae_timm.pth", "timm")
    with on_meta():
        bare = references.timm({**references.variant("hiera_tiny_224"), "input_size": (64, 64), "num_classes": 0})
    bare.load_state_dict(torch.load(tmp_path / "mae_timm.pth", weights_only=True), strict=True, assign=True)


def test_a_detectors_backbone(references, tmp_path, saved, redraw, relative_error, caplog):
    backbone = HieraBackbone("hiera_tiny_224", **references.small, layout="released", out_norm=True)
    redraw(backbone)
    state = {f"backbone.bottom_up.{key}": value for key, value in backbone.state_dict().items()}
    source = saved({**state, "roi_heads.x": torch.zeros(1)}, "in.pth", "model")
    with caplog.at_level(logging.INFO):
        convert_checkpoint(source, tmp_path / "x.pth", "original")
    assert "left out: norms of maps (8 tensors)" in caplog.text and "(format detectron2), licence" in caplog.text
    assert "left out: other parts of the model (1 tensors)" in caplog.text
    assert "the weights have no final norm: models of original" in caplog.text
    reference = references.original({**references.small, "input_size": (224, 224)}).eval()
    lacking = reference.load_state_dict(torch.load(tmp_path / "x.pth", weights_only=True)["model_state"], strict=False)
    assert lacking.unexpected_keys == [] and all(key.startswith(("norm.", "head.")) for key in lacking.missing_keys)
    x = image(224, 224)
    backbone.out_norm = False  # the original's maps have no norm
    with torch.no_grad():
        _, expected = reference(x, return_intermediates=True)
        for (name, got), theirs in zip(backbone(x).items(), expected, strict=True):
            assert relative_error(got, theirs.movedim(-1, 1)) < 1e-5, name


@pytest.mark.parametrize("name", ["x.pkl", "x.pth"])
@pytest.mark.parametrize("variant", ["hiera_tiny_224", "hiera_base_16x224"])
def test_for_detectron2(name, variant, references, tmp_path, saved, redraw, relative_error, caplog):
    model = build_hiera(variant, **references.small).eval()
    redraw(model)
    convert_checkpoint(saved(model, "in.pth"), tmp_path / name, "detectron2")
    assert "left out: the classifier (4 tensors)" in caplog.text
    if name == "x.pkl":
        checkpoint = pickle.loads((tmp_path / name).read_bytes())
        assert all(isinstance(value, np.ndarray) for value in checkpoint["model"].values())
    else:
        checkpoint = torch.load(tmp_path / name, weights_only=True)
    assert checkpoint["matching_heuristics"] is True
    backbone = HieraBackbone(variant, **references.small, global_blocks=())
    assert load_weights(backbone, str(tmp_path / name)).resized == {}
    grid = (8, 56, 56)[3 - len(model.patch_stride) :]
    assert relative_error(backbone.position_embedding(grid), model.position_embedding(grid)) < 1e-6
    assert torch.equal(backbone.blocks[5].mlp.fc2.weight, model.blocks[5].mlp.fc2.weight)


def test_video_to_the_original(references, tmp_path, saved, redraw, relative_error):
    arguments = {**references.small, **references.video}
    model = Hiera(**arguments, num_classes=7).eval()
    redraw(model)
    convert_checkpoint(saved(model, "in.pth"), tmp_path / "x.pth", "original")
    reference = references.original(arguments).eval()
    reference.load_state_dict(torch.load(tmp_path / "x.pth", weights_only=True)["model_state"], strict=True)
    with torch.no_grad():
        assert relative_error(model(image(4, 64, 64)), reference(image(4, 64, 64))) < 1e-5


def test_nothing_is_overwritten_and_nothing_left_behind(tiny, tmp_path, saved):
    _, source = tiny
    before = Path(source).read_bytes()
    with pytest.raises(FileExistsError, match=r"in\.pth exists already and stays as it is"):
        main([source, source, "--to", "original"])
    assert Path(source).read_bytes() == before
    video = saved(build_hiera("hiera_base_16x224", embed_dim=8, stages=(1, 1, 1, 1)), "video.pth")
    for to, name in ("transformers", "x"), ("timm", "x.pth"):
        with pytest.raises(ValueError, match=rf"video\.pth \(format original\): .* of which {to} has none"):
            main([video, str(tmp_path / name), "--to", to])
    assert [path.name for path in tmp_path.iterdir()] == ["video.pth"]


def test_a_folder_that_cannot_be_finished_is_removed(tiny, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError("no space left")

    monkeypatch.setattr("hiera_det.weights.tensorfiles.save_file", full)
    with pytest.raises(OSError, match="no space left"):
        convert_checkpoint(tiny[1], tmp_path / "x", "transformers")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("to", "name", "expected"),
    [
        ("original", "x", "a file ending with .pth"),
        ("timm", "x.pkl", "a file ending with .safetensors or .pth"),
        ("transformers", "x.safetensors", "a folder"),
        ("detectron2", "x.safetensors", "a file ending with .pkl or .pth"),
    ],
)
def test_endings(to, name, expected, tmp_path):
    with pytest.raises(ValueError, match=rf"{name}: for {to}, name {expected}"):
        convert_checkpoint("nowhere.pth", tmp_path / name, to)


def test_what_is_not_hiera_as_other_packages_have_it(references, tmp_path, saved):
    model = build_hiera("hiera_tiny_224", **references.small)
    state = model.state_dict()
    state["blocks.0.ls1.gamma"] = state.pop("blocks.0.norm1.bias")
    message = r"(?s)in\.pth \(format original\): .*missing: blocks\.0\.norm1\.bias\n  unknown: blocks\.0\.ls1\.gamma"
    with pytest.raises(ValueError, match=message):
        convert_checkpoint(saved(state, "in.pth"), tmp_path / "x.pth", "original")
    backbone = HieraBackbone("hiera_tiny_224", ["res3"], **references.small, global_blocks=())
    with pytest.raises(ValueError, match="blocks of 2 stages only"):
        convert_checkpoint(saved(backbone, "in.pth"), tmp_path / "x.pth", "original")
    with pytest.raises(ValueError, match=r"16 channels and stages .* are no published variant"):
        convert_checkpoint(saved(model, "in.pth"), tmp_path / "x", "transformers")
    with pytest.raises(ValueError, match="no format is called 'onnx'; there are original, timm"):
        convert_checkpoint("in.pth", tmp_path / "x", "onnx")
    flat = build_hiera("hiera_tiny_224", input_size=(64, 96))
    with pytest.raises(ValueError, match="embedding of 384 tokens is not square"):
        convert_checkpoint(saved(flat, "in.pth"), tmp_path / "x", "transformers")
    assert [path.name for path in tmp_path.iterdir()] == ["in.pth"]


def test_files_of_the_folder(tiny, tmp_path):
    convert_checkpoint(tiny[1], tmp_path / "x", "transformers")
    modes = {path.stat().st_mode for path in (tmp_path / "x").iterdir()}
    assert len(modes) == 1  # who may read one may read all
    config = json.loads((tmp_path / "x" / "config.json").read_text())
    assert config["num_heads"] == [1, 2, 4, 8] and config["depths"] == [1, 2, 7, 2] and config["num_labels"] == 7
    assert config["image_size"] == [64, 64]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("blocks.2.norm1.bias", torch.zeros(5), r"blocks\.2\.norm1\.bias: \(5,\) in the file, expected \(32,\)"),
        ("pos_embed", torch.zeros(5), r"pos_embed: \(5,\) in the file, expected \(1, 3136, 16\)"),
        ("patch_embed.proj.weight", torch.tensor(1.0), r"patch_embed\.proj\.weight is of shape \(\), expected"),
        ("norm.weight", torch.ones(5), r"norm\.weight: \(5,\) in the file, expected \(128,\)"),
        ("head.projection.weight", torch.tensor(1.0), r"head\.projection\.weight: \(\) in the file"),
        ("head.projection.weight", torch.zeros(5, 128), r"head\.projection\.bias: \(7,\) in the file, expected \(5,\)"),
        ("blocks.x.foo", torch.zeros(5), r"unknown: blocks\.x\.foo"),
    ],
)
def test_tensors_of_other_shapes(name, value, message, references, tmp_path, saved):
    model = build_hiera("hiera_tiny_224", **references.small, num_classes=7)
    source = saved({**model.state_dict(), name: value}, "in.pth")
    for to in "original", "detectron2":
        with pytest.raises(ValueError, match=rf"(?s)in\.pth \(format original\): .*{message}"):
            convert_checkpoint(source, tmp_path / "x.pth", to)


def test_a_pickle_of_bfloat16_parameters(references, tmp_path, saved):
    model = build_hiera("hiera_tiny_224", **references.small, num_classes=7).bfloat16()
    convert_checkpoint(saved(dict(model.named_parameters()), "in.pth"), tmp_path / "x.pkl", "detectron2")
    array = pickle.loads((tmp_path / "x.pkl").read_bytes())["model"]["blocks.0.norm1.weight"]
    assert array.dtype == np.float32 and np.array_equal(array, model.blocks[0].norm1.weight.detach().float().numpy())


@pytest.mark.parametrize("to", ["original", "timm", "transformers"])
def test_a_config_of_another_function_is_refused(to, tmp_path, redraw):
    with torch.device("meta"):
        model = build_hiera("hiera_tiny_224", num_heads=2, mask_unit_attn=(True, False, False, False), num_classes=7)
    redraw(model)
    model.save_pretrained(tmp_path / "in")
    message = (
        r"(?s)not the published hiera_tiny_224:\n  num_heads is 2, of hiera_tiny_224 1\n  mask_unit_attn is \[True, F"
    )
    with pytest.raises(ValueError, match=message):
        convert_checkpoint(str(tmp_path / "in"), tmp_path / ("x" if to == "transformers" else "x.pth"), to)


def test_a_backbone_of_other_windows_is_for_detectron2_only(tmp_path):
    backbone = HieraBackbone("hiera_tiny_224").eval()
    backbone.save_pretrained(tmp_path / "in")
    with pytest.raises(ValueError, match="layout is 'windowed', of hiera_tiny_224 'released'"):
        convert_checkpoint(str(tmp_path / "in"), tmp_path / "x.pth", "original")
    convert_checkpoint(str(tmp_path / "in"), tmp_path / "x.pth", "detectron2")


def test_a_config_of_transformers_with_another_function_is_refused(tiny, tmp_path):
    convert_checkpoint(tiny[1], tmp_path / "x", "transformers")
    path = tmp_path / "x" / "config.json"
    config = json.loads(path.read_text())
    changes = {"num_heads": [2, 4, 8, 16], "layer_norm_eps": 1e-5, "hidden_act": "relu"}
    path.write_text(json.dumps({**config, **changes}))
    with pytest.raises(ValueError) as refusal:
        convert_checkpoint(str(tmp_path / "x"), tmp_path / "x.pth", "original")
    assert all(f"  {name} is {value!r}, of hiera_tiny_224" in str(refusal.value) for name, value in changes.items())
    del config["num_heads"]  # as default, which is this variant's
    path.write_text(json.dumps(config))
    convert_checkpoint(str(tmp_path / "x"), tmp_path / "x.pth", "original")


def test_labels_and_processor_go_along(tiny, tmp_path, caplog):
    transformers = pytest.importorskip("transformers")
    convert_checkpoint(tiny[1], tmp_path / "x", "transformers")
    config = json.loads((tmp_path / "x" / "config.json").read_text())
    names = {str(i): f"class {i}" for i in range(7)}
    (tmp_path / "x" / "config.json").write_text(json.dumps({**config, "id2label": names}))
    (tmp_path / "x" / "preprocessor_config.json").write_text('{"image_processor_type": "BitImageProcessor"}')
    convert_checkpoint(str(tmp_path / "x"), tmp_path / "y", "transformers")
    read = transformers.AutoConfig.from_pretrained(tmp_path / "y")
    assert read.id2label == {int(i): name for i, name in names.items()}
    settings = (tmp_path / "y" / "preprocessor_config.json").read_text()
    assert settings == '{"image_processor_type": "BitImageProcessor"}'
    convert_checkpoint(str(tmp_path / "x"), tmp_path / "x.pth", "original")
    assert "left out: id2label of config.json" in caplog.text
    assert "left out: preprocessor_config.json" in caplog.text
    caplog.clear()
    (tmp_path / "x" / "config.json").write_text(json.dumps({**config, "id2label": {"0": "one"}}))
    convert_checkpoint(str(tmp_path / "x"), tmp_path / "z", "transformers")
    assert "left out: id2label of config.json, which has another number of labels" in caplog.text
    assert "id2label" not in json.loads((tmp_path / "z" / "config.json").read_text())
