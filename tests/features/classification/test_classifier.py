from __future__ import annotations

import json

import hiera
import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torchvision import transforms
from transformers import HieraConfig, HieraForImageClassification
from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil

from hiera_det.features.classification.classifier import Classifier, load_classifier
from hiera_det.features.classification.transforms import image_transform
from hiera_det.hiera.backbone import HieraBackbone
from hiera_det.hiera.model import build_hiera

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def originals_input(pixels: np.ndarray, side: int) -> torch.Tensor:
    resize = transforms.Resize(int((256 / 224) * side), transforms.InterpolationMode.BICUBIC)
    steps = [resize, transforms.CenterCrop(side), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    return transforms.Compose(steps)(Image.fromarray(pixels))[None]


def logits(classifier: Classifier, pixels: np.ndarray) -> torch.Tensor:
    """In training mode the head leaves the softmax out."""
    classifier.model.head.train()
    found = classifier(pixels)
    classifier.model.head.eval()
    return found


@pytest.mark.parametrize("side", [64, 96])
def test_a_photo_as_the_original(original, saved, photo, relative_error, side):
    """96: weights of another input size than their variant's are run at their own."""
    theirs = original(input_size=(side, side), num_classes=7)
    ours = load_classifier(saved(theirs))
    with torch.no_grad():
        expected = theirs(originals_input(photo, side))[0]
        theirs.head.train()
        expected_logits = theirs(originals_input(photo, side))[0]
    assert expected.sum() == pytest.approx(1)
    assert relative_error(ours(photo), expected) < 1e-5
    assert relative_error(logits(ours, photo), expected_logits) < 1e-5
    assert ours.labels == [str(i) for i in range(7)] and ours.num_frames == 0


@pytest.mark.parametrize("frames", [8, 16])
def test_a_clip_as_the_original(original, saved, relative_error, frames):
    """16: weights of another clip length than their variant's are run at their own."""
    clip = np.random.default_rng(0).integers(0, 256, (frames, 80, 80, 3), np.uint8)
    theirs = original(clips=True, input_size=(frames, 64, 64), num_classes=400)
    ours = load_classifier(saved(theirs))
    x = torch.from_numpy(clip).permute(3, 0, 1, 2)[None].float() / 255
    x = torch.nn.functional.interpolate(x, size=(frames, 64, 64), mode="trilinear")
    with torch.no_grad():
        expected = theirs((x - 0.45) / 0.225)[0]
    assert relative_error(ours(clip), expected) < 1e-5
    assert (ours.num_frames, ours.labels[363]) == (frames, "training dog")


def test_timm_s_weights(redraw, tmp_path, photo, relative_error):
    theirs = timm.create_model("hiera_tiny_224").eval()
    redraw(theirs)
    torch.save(theirs.state_dict(), tmp_path / "timm.pth")
    ours = load_classifier(str(tmp_path / "timm.pth"))
    with torch.no_grad():
        expected = theirs(originals_input(photo, 224))[0]
    assert relative_error(logits(ours, photo), expected) < 1e-5
    assert ours.labels[207] == "golden retriever"


@pytest.fixture
def transformers_folder(redraw, tmp_path):
    """``transformers_folder(...)``: a small model, its processor and the folder that both are saved in."""

    def saved(processor: BitImageProcessorPil, **arguments):
        small = {"embed_dim": 16, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 4, 8], "image_size": [64, 64]}
        model = HieraForImageClassification(HieraConfig(**{**small, **arguments})).eval()
        redraw(model)
        model.save_pretrained(tmp_path / "hf")
        processor.save_pretrained(tmp_path / "hf")
        return model, tmp_path / "hf"

    return saved


TINY = {"embed_dim": 96, "depths": [1, 2, 7, 2], "image_size": [224, 224], "num_labels": 1000}


@pytest.mark.parametrize(
    ("model", "processor"),
    [
        ({"num_labels": 5}, {"size": {"shortest_edge": 72}, "crop_size": {"height": 64, "width": 64}, "resample": 2}),
        (TINY, {"size": {"shortest_edge": 256}, "image_mean": MEAN, "image_std": STD}),
    ],
    ids=["small", "tiny"],
)
def test_transformers_model_and_processor(transformers_folder, photo, relative_error, model, processor):
    process = BitImageProcessorPil(**processor)
    theirs, folder = transformers_folder(process, **model)
    with torch.no_grad():
        expected = theirs(**process(Image.fromarray(photo), return_tensors="pt")).logits[0]
    ours = load_classifier(str(folder))
    assert relative_error(logits(ours, photo), expected) < 1e-5
    assert relative_error(ours(photo), expected.softmax(dim=0)) < 1e-5
    by_file = load_classifier(str(folder / "model.safetensors"))
    assert torch.equal(by_file(photo), ours(photo))


def test_labels_of_a_transformers_folder(transformers_folder, photo):
    names = {0: "cat", 1: "dog", 2: "owl"}
    _, folder = transformers_folder(BitImageProcessorPil(), id2label=names)
    assert load_classifier(str(folder)).labels == ["cat", "dog", "owl"]
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "id2label": {"0": "cat"}}))
    with pytest.raises(ValueError, match=r"id2label .* has 1 entries; .* each of the 3 classes"):
        load_classifier(str(folder))
    (folder / "config.json").write_text("[]")
    with pytest.raises(ValueError, match=r"config\.json holds a list, expected an object"):
        load_classifier(str(folder))
    (folder / "config.json").unlink()
    (folder / "preprocessor_config.json").unlink()
    plain = load_classifier(str(folder))
    assert plain.labels == ["0", "1", "2"]
    assert torch.equal(plain.transform(photo), image_transform(64)(photo))
    assert plain(photo).shape == (3,)


def test_weights_without_a_classifier(original, saved, tmp_path):
    mae = hiera.hiera_mae.MaskedAutoencoderHiera(
        input_size=(64, 64), embed_dim=16, stages=(1, 1, 1, 1), decoder_embed_dim=16, decoder_depth=1
    )
    with pytest.raises(ValueError, match=r"\(format original\) has no classifier: head\.projection\.bias, .* missing"):
        load_classifier(saved(mae))
    backbone = HieraBackbone("hiera_mini_64", layout="released").state_dict()
    state = {f"backbone.bottom_up.{key}": value for key, value in backbone.items()} | {"rpn.w": torch.zeros(1)}
    torch.save({"model": state}, tmp_path / "detector.pth")
    with pytest.raises(ValueError, match=r"\(format detectron2\) has no classifier: .*Backbones, detectors and MAE"):
        load_classifier(str(tmp_path / "detector.pth"))
    headless = original().state_dict()
    del headless["norm.weight"]
    torch.save({"model_state": headless}, tmp_path / "headless.pth")
    with pytest.raises(ValueError, match=r"has no classifier: norm\.weight missing"):
        load_classifier(str(tmp_path / "headless.pth"))


def test_a_variant_that_is_not_published(original, saved):
    with pytest.raises(ValueError, match=r"24 channels and stages of \(1, 1, 1, 1\) blocks are no published variant"):
        load_classifier(saved(original(embed_dim=24)))


@pytest.mark.parametrize(
    "pixels", [np.zeros((9, 9), np.uint8), np.zeros((2, 9, 9, 3), np.uint8), np.zeros((9, 9, 3), np.float32)]
)
def test_other_arrays_are_refused(pixels):
    classifier = Classifier(build_hiera("hiera_mini_64", num_classes=2), image_transform(64), ["a", "b"])
    with pytest.raises(ValueError, match=r"expected an image \(H, W, 3\) of uint8, RGB; got"):
        classifier(pixels)


def test_as_many_labels_as_classes():
    with pytest.raises(ValueError, match="1 labels for a model of 2 classes"):
        Classifier(build_hiera("hiera_mini_64", num_classes=2), image_transform(64), ["a"])


def test_a_thin_image_is_not_blown_up():
    classifier = Classifier(build_hiera("hiera_mini_64", num_classes=2), image_transform(64), ["a", "b"])
    assert classifier(np.zeros((4, 400, 3), np.uint8)).shape == (2,)
    for shape in ((4, 401, 3), (401, 4, 3), (0, 4, 3)):
        with pytest.raises(ValueError, match=r"\d+ x [04] pixels: expected at most 100 times as long as wide"):
            classifier(np.zeros(shape, np.uint8))


def test_the_device(original, saved, photo, monkeypatch):
    weights = saved(original(num_classes=2))
    assert load_classifier(weights, "cpu").device == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert load_classifier(weights)(photo).device == torch.device("cpu")
    with pytest.raises(ValueError, match="device 'cuda', but there are 0 GPUs here"):
        load_classifier(weights, "cuda")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("head.projection.weight", torch.zeros(7, 12)),
        ("head.projection.weight", torch.zeros(5, 128)),
        ("head.projection.weight", torch.tensor(1.0)),
        ("norm.weight", torch.ones(5)),
    ],
)
def test_a_damaged_classifier_is_not_replaced_by_a_new_one(name, value, original, tmp_path):
    torch.save({**original(num_classes=7).state_dict(), name: value}, tmp_path / "damaged.pth")
    with pytest.raises(ValueError, match=r"damaged\.pth.*(shape|missing|of another variant|differ)"):
        load_classifier(str(tmp_path / "damaged.pth"))


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_heads": 2},
        {"mask_unit_attn": (True, False, False, False)},
        {"embed_dim": 24, "input_size": (96, 96)},  # none of the published variants
        {"layout": "windowed", "global_blocks": (2,), "window_sizes": (8, 4, 4, 2)},
        {"pos_embed": "absolute_win", "input_size": (96, 96)},
        {"pos_embed": "absolute_win", "pos_embed_size": (7, 7)},
    ],
    ids=lambda arguments: ",".join(arguments),
)
def test_a_published_folder_is_the_model_of_its_config(arguments, redraw, tmp_path, photo):
    model = build_hiera("hiera_mini_64", num_classes=7, **arguments).eval()
    redraw(model)
    model.save_pretrained(tmp_path)
    side = arguments.get("input_size", (64, 64))[0]
    with torch.no_grad():
        expected = model(originals_input(photo, side))[0]
    ours = load_classifier(str(tmp_path))
    assert (ours(photo) - expected).abs().max() < 1e-5 * expected.abs().max()
    assert torch.equal(load_classifier(str(tmp_path / "model.safetensors"))(photo), ours(photo))


def test_the_originals_folder(original, tmp_path, photo, relative_error):
    theirs = original(num_classes=7, num_heads=2)
    theirs.save_pretrained(tmp_path, config=theirs.config)
    with torch.no_grad():
        expected = theirs(originals_input(photo, 64))[0]
    assert relative_error(load_classifier(str(tmp_path))(photo), expected) < 1e-5


def test_configs_that_do_not_fit(tmp_path):
    build_hiera("hiera_mini_64", num_classes=7, input_size=(64, 96)).save_pretrained(tmp_path / "flat")
    with pytest.raises(ValueError, match="is of a model for 64 x 96 pixels; expected squares"):
        load_classifier(str(tmp_path / "flat"))
    build_hiera("hiera_mini_64", num_classes=7).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "input_size": [0, 0]}))
    with pytest.raises(ValueError, match="is of a model for 0 x 0 pixels; expected squares"):
        load_classifier(str(tmp_path))
    path.write_text(json.dumps({**config, "num_classes": 8}))
    with pytest.raises(ValueError, match=r"head\.projection"):
        load_classifier(str(tmp_path))
    for key, value in (("depth", 8), ("embed_dim", -1), ("num_classes", -1), ("head_init_scale", 0)):
        path.write_text(json.dumps({**config, key: value}))
        with pytest.raises(ValueError, match=r"the config\.json beside .* describes no Hiera \("):
            load_classifier(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_heads", [2, 4, 8, 16]),
        ("masked_unit_attention", [True, False, False, False]),
        ("layer_norm_eps", 1e-5),
        ("hidden_act", "relu"),
        ("query_stride", [1, 1]),
    ],
)
def test_a_transformers_config_of_another_function_is_refused(transformers_folder, name, value):
    _, folder = transformers_folder(BitImageProcessorPil(), num_labels=3)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, name: value}))
    with pytest.raises(ValueError, match=rf"not the published hiera_mini_64:\n  {name} is "):
        load_classifier(str(folder))
