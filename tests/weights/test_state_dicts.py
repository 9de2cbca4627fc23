"""State dicts for other packages: every variant goes there and back strictly, and nothing is added or lost."""

from __future__ import annotations

import pytest
import torch

from hiera_det import HieraBackbone, build_hiera
from hiera_det.hiera.variants import VARIANTS
from hiera_det.weights.formats import HieraWeights, find_hiera
from hiera_det.weights.state_dicts import detectron2_checkpoint, original_checkpoint, timm_state, transformers_state

IMAGE = [name for name in VARIANTS if name.endswith("_224")]


def is_same(state: dict, other: dict) -> bool:
    """Whether both hold the same tensors, not copies, under the same names."""
    return state.keys() == other.keys() and all(state[key] is other[key] for key in state)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_original_strictly(name, references, on_meta):
    with on_meta():
        reference, ours = references.original(references.variant(name)), build_hiera(name).state_dict()
    state = original_checkpoint(find_hiera(ours, ""))["model_state"]
    assert is_same(state, ours)
    reference.load_state_dict(state, strict=True)


@pytest.mark.parametrize("name", IMAGE)
def test_timm_strictly(name, on_meta):
    timm = pytest.importorskip("timm")
    with on_meta():
        reference, bare = timm.create_model(name), timm.create_model(name, num_classes=0)
        ours = build_hiera(name).state_dict()
    state = timm_state(find_hiera(ours, ""))
    reference.load_state_dict(state, strict=True)
    bare.load_state_dict({key: value for key, value in state.items() if "head.fc" not in key}, strict=True)
    again = find_hiera(state, "")
    assert again.file_format == "timm" and is_same({**again.encoder, **again.classifier}, ours)
    assert is_same(timm_state(find_hiera(reference_state := reference.state_dict(), "")), reference_state)


@pytest.mark.parametrize("name", IMAGE)
def test_transformers_strictly(name, references, on_meta):
    with on_meta():
        classifier = references.transformers(references.variant(name))
        trunk = references.transformers(references.variant(name), "HieraModel")
        ours = build_hiera(name).state_dict()
    state = transformers_state(find_hiera(ours, ""))
    classifier.load_state_dict(state, strict=True)
    again = find_hiera(state, "")
    assert again.file_format == "transformers" and is_same({**again.encoder, **again.classifier}, ours)
    headless = {key: value for key, value in ours.items() if not key.startswith("head.")}
    trunk.load_state_dict(transformers_state(find_hiera(headless, "")), strict=True)
    for reference in classifier, trunk:
        assert is_same(transformers_state(find_hiera(reference_state := reference.state_dict(), "")), reference_state)


@pytest.mark.parametrize("name", VARIANTS)
def test_detectron2_strictly(name, on_meta):
    with on_meta():
        classifier, backbone = build_hiera(name).state_dict(), HieraBackbone(name, out_norm=True)
    checkpoint = detectron2_checkpoint(find_hiera(classifier, ""))
    own = backbone.state_dict()
    assert checkpoint["matching_heuristics"] is True
    assert {k: v.shape for k, v in checkpoint["model"].items()} == {
        key: value.shape for key, value in own.items() if not key.startswith("norm_res")
    }
    assert is_same(detectron2_checkpoint(find_hiera(own, ""))["model"], own)  # split already, norms and all


@pytest.mark.parametrize("size", ["tiny", "small", "base_plus", "large"])
def test_sam2_to_timm(size, on_meta):
    timm = pytest.importorskip("timm")
    with on_meta():
        reference = timm.create_model(f"sam2_hiera_{size}", num_classes=0)
    trunk = {key: value for key, value in reference.state_dict().items() if not key.startswith("head.")}
    state = timm_state(find_hiera({f"image_encoder.trunk.{key}": value for key, value in trunk.items()}, ""))
    assert is_same(state, trunk)
    assert reference.load_state_dict(state, strict=False).missing_keys == [
        "head.norm.weight",
        "head.norm.bias",
    ]  # timm's own


def test_sam2_elsewhere(references, redraw):
    trunk = references.sam2(references.small)
    redraw(trunk)
    weights = find_hiera(trunk.state_dict(), "")
    for convert in original_checkpoint, transformers_state:
        with pytest.raises(ValueError, match=r"pos_embed is a part of 7 x 7 .* convert to timm or detectron2"):
            convert(weights)
    backbone = HieraBackbone("hiera_tiny_224", **references.small, global_blocks=(), pos_embed_size=(7, 7))
    checkpoint = detectron2_checkpoint(weights)
    backbone.load_state_dict(checkpoint["model"], strict=True)
    assert is_same(checkpoint["model"], weights.encoder)


def test_video_has_no_place_in_timm_and_transformers(on_meta):
    with on_meta():
        weights = find_hiera(build_hiera("hiera_base_16x224").state_dict(), "")
    for convert in timm_state, transformers_state:
        with pytest.raises(ValueError, match=r"a video model's, of which (timm|transformers) has none"):
            convert(weights)


@pytest.mark.parametrize(
    ("name", "convert"),
    [
        ("hiera_tiny_224", original_checkpoint),
        ("hiera_base_16x224", original_checkpoint),
        ("hiera_tiny_224", timm_state),
        ("hiera_tiny_224", transformers_state),
    ],
)
def test_split_embeddings_are_added_up(name, convert, redraw, relative_error):
    small = {"embed_dim": 16, "stages": (1, 1, 1, 1)}
    model, plain = HieraBackbone(name, **small, global_blocks=(), out_norm=True), build_hiera(name, **small)
    redraw(model)
    weights = HieraWeights(model.state_dict(), {})
    converted = convert(weights)
    encoder = find_hiera(converted.get("model_state", converted), "").encoder
    assert encoder.keys() == {key for key in plain.state_dict() if not key.startswith(("norm.", "head."))}
    plain.load_state_dict(encoder, strict=False)
    grid = (8, 56, 56)[3 - len(model.patch_stride) :]
    assert relative_error(plain.position_embedding(grid), model.position_embedding(grid)) < 1e-6
    assert "pos_embed_window" in weights.encoder  # as it was


@pytest.mark.parametrize("convert", [original_checkpoint, timm_state])
def test_small_inputs_are_not_taken_for_sam2(convert, references, redraw, relative_error):
    """A global part that mask units tile is added up at its own size, which is the input's."""
    small = {**references.small, "input_size": (64, 64), "num_classes": 7}
    split, plain = (
        build_hiera("hiera_tiny_224", **small, pos_embed="absolute_win"),
        build_hiera("hiera_tiny_224", **small),
    )
    redraw(split)
    converted = convert(find_hiera(split.state_dict(), ""))
    again = find_hiera(converted.get("model_state", converted), "")
    plain.load_state_dict({**again.encoder, **again.classifier}, strict=True)
    x = torch.randn(1, 3, 64, 64)
    assert relative_error(plain.eval()(x), split.eval()(x)) < 1e-5


def test_a_classifier_with_an_embedding_of_sam2_is_refused_by_timm(references):
    model = build_hiera("hiera_tiny_224", **references.small, pos_embed="absolute_win", pos_embed_size=(7, 7))
    with pytest.raises(ValueError, match="as in SAM 2's trunks, and there is a classifier"):
        timm_state(find_hiera(model.state_dict(), ""))


@pytest.mark.parametrize("side", [64, 256])
def test_other_sizes_to_detectron2(side, references):
    model = build_hiera("hiera_tiny_224", **references.small, input_size=(side, side))
    embed = detectron2_checkpoint(find_hiera(model.state_dict(), ""))["model"]["pos_embed"]
    assert embed.shape == (1, 16, 56, 56)


def test_a_missing_embedding_is_left_to_detectron2(references):
    weights = find_hiera(references.original(references.small).state_dict(), "")
    del weights.encoder["pos_embed"]
    assert set(detectron2_checkpoint(weights)["model"]) == set(weights.encoder)
