"""Each format of each variant is told apart and read to the original's names: state dicts of other packages."""

from __future__ import annotations

import re

import pytest
import torch

from hiera_det import HieraBackbone, build_hiera
from hiera_det.hiera.variants import VARIANTS
from hiera_det.weights.formats import find_hiera, hiera_prefix, unwrapped
from hiera_det.weights.hiera import load_hiera

IMAGE = [name for name in VARIANTS if name.endswith("_224")]
SAM2 = {"tiny": (7, 7), "small": (7, 7), "base_plus": (14, 14), "large": (7, 7)}
OTHER = {"sam_mask_decoder.iou_token.weight": torch.zeros(1, 2), "no_mem_embed": torch.zeros(1)}


def sam2_names(state: dict) -> dict:
    """SAM 2's own names in place of timm's; the head is timm's addition."""
    layer = {"fc1": "layers.0", "fc2": "layers.1"}
    return {
        "image_encoder.trunk." + re.sub(r"(?<=mlp\.)fc\d", lambda match: layer[match[0]], key): value
        for key, value in state.items()
        if not key.startswith("head.")
    }


def loaded_whole(state: dict, model: torch.nn.Module, file_format: str, dropped: dict[str, int]) -> None:
    """The state dict fills all of the model, but for a classifier that it has not, and nothing has to be resized."""
    weights = find_hiera(state, "the file")
    assert weights.file_format == file_format
    report = load_hiera(model, weights, "the file")
    assert report.loaded == sorted(model.state_dict())
    assert (report.missing, report.unexpected, report.resized) == ([], [], {})
    assert {what: len(names) for what, names in report.dropped.items()} == dropped


@pytest.mark.parametrize("name", VARIANTS)
def test_the_original(name, references, on_meta):
    with on_meta():
        state, model = references.original(references.variant(name)).state_dict(), build_hiera(name)
    loaded_whole(state, model, "original", {})


@pytest.mark.parametrize("name", VARIANTS)
def test_the_originals_masked_autoencoders(name, references, on_meta):
    pytest.importorskip("hiera")
    arguments = references.variant(name)
    arguments.pop("num_classes")
    with on_meta():
        state, model = references.mae(arguments).state_dict(), build_hiera(name)
    weights = find_hiera(state, "the file")
    report = load_hiera(model, weights, "the file")
    assert (weights.file_format, report.missing) == ("original", ["head.projection.bias", "head.projection.weight"])
    assert report.loaded == sorted(model.state_dict().keys() - set(report.missing))
    decoder = report.dropped.pop("the decoder of MAE")
    assert not report.dropped and {"mask_token", "decoder_pos_embed", "decoder_pred.weight"} < set(decoder)
    assert len(decoder) == sum(key.startswith(("decoder", "mask_token", "multi_scale")) for key in state)


@pytest.mark.parametrize("name", IMAGE)
def test_timm(name, on_meta):
    timm = pytest.importorskip("timm")
    with on_meta():
        classifier, mae, maps = (
            timm.create_model(name, **arguments).state_dict()
            for arguments in ({}, {"num_classes": 0}, {"features_only": True})
        )
        model, backbone = build_hiera(name), HieraBackbone(name, pos_embed="resize")
    loaded_whole(classifier, model, "timm", {})
    assert find_hiera(mae, "").classifier.keys() == {"norm.weight", "norm.bias"}
    loaded_whole(maps, backbone, "original", {})


@pytest.mark.parametrize("name", IMAGE)
def test_transformers(name, references, on_meta):
    with on_meta():
        arguments = references.variant(name)
        decoder = {"decoder_hidden_size": 16, "decoder_depth": 1, "decoder_num_heads": 2}
        classifier = references.transformers(arguments)
        model = references.transformers(arguments, "HieraModel")
        mae = references.transformers(arguments, "HieraForPreTraining", **decoder)
        maps = references.transformers(arguments, "HieraBackbone", out_features=["stage2", "stage4"])
        ours, backbone = build_hiera(name), HieraBackbone(name, ["res3", "res5"], pos_embed="resize", out_norm=True)
    loaded_whole(classifier.state_dict(), ours, "transformers", {})
    loaded_whole(maps.state_dict(), backbone, "transformers", {})
    for reference in model, mae:
        weights = find_hiera(reference.state_dict(), "")
        assert weights.file_format == "transformers"
        assert weights.classifier.keys() == {"norm.weight", "norm.bias"}
        assert weights.encoder.keys() == {k for k in ours.state_dict() if not k.startswith(("norm.", "head."))}
    assert not weights.dropped and {"mask_token", "decoder_blocks.0.norm1.weight"} < weights.decoder.keys()
    assert len(weights.decoder) == sum(k.startswith(("decoder.", "multiscale_fusion.")) for k in mae.state_dict())


@pytest.mark.parametrize("size", SAM2)
def test_sam2(size, references, on_meta):
    timm = pytest.importorskip("timm")
    name = f"hiera_{size}_224"
    with on_meta():
        trunk = timm.create_model(f"sam2_hiera_{size}", num_classes=0).state_dict()
        model = HieraBackbone(name, pos_embed_size=SAM2[size])
    others = {"the mask decoder": 1, "the memory": 1}
    loaded_whole({**sam2_names(trunk), **OTHER}, model, "sam2", others)
    loaded_whole(trunk, model, "sam2-timm", {"the classifier": 2})  # a norm that is timm's own
    with on_meta():
        trunk = references.sam2_transformers(references.variant(name)).state_dict()
        model = HieraBackbone(name, pos_embed_size=(7, 7))
    state = {f"vision_encoder.backbone.{key}": value for key, value in trunk.items()}
    loaded_whole({**state, **OTHER}, model, "sam2-transformers", others)


# The modules of facebookresearch/sam2 beside the trunk (2.1 at 2b90b9f), with a tensor of each.
SAM2_MODULES = {
    "the prompt encoder": ["sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"],
    "the mask decoder": ["sam_mask_decoder.transformer.layers.0.self_attn.q_proj.weight"],
    "the memory": [
        *("maskmem_tpos_enc", "no_mem_embed", "no_mem_pos_enc", "no_obj_ptr", "no_obj_embed_spatial"),
        *("memory_attention.layers.0.self_attn.q_proj.weight", "memory_encoder.fuser.layers.0.gamma"),
        *("mask_downsample.weight", "obj_ptr_proj.layers.0.weight", "obj_ptr_tpos_proj.weight"),
    ],
    "other parts of the model": ["something.of.ones.own"],
}


def test_the_parts_of_sam2(references):
    """The neck's convolutions are numbered from the last map on."""
    trunk = references.sam2(references.small).state_dict()
    others = {name: torch.zeros(1) for names in SAM2_MODULES.values() for name in names}
    neck = {f"image_encoder.neck.convs.{i}.conv.bias": torch.full((256,), float(i)) for i in range(4)}
    neck |= {f"image_encoder.neck.convs.{i}.conv.weight": torch.zeros(256, 128 // 2**i, 1, 1) for i in range(4)}
    weights = find_hiera({**sam2_names(trunk), **neck, **others}, "")
    assert weights.dropped == SAM2_MODULES
    for level in 2, 3, 4, 5:
        kernel, bias = (weights.neck.pop(f"fpn_lateral{level}.{name}") for name in ("weight", "bias"))
        assert kernel.shape == (256, 16 * 2 ** (level - 2), 1, 1) and (bias == 5 - level).all()
    assert not weights.neck
    neck["image_encoder.neck.convs.2.conv.bias"][3] = torch.nan
    with pytest.raises(ValueError, match=r"(?s)x\.pt: .*fpn_lateral3\.bias: NaN"):
        find_hiera({**sam2_names(trunk), **neck}, "x.pt")


@pytest.mark.parametrize("name", ["Sam2Model", "Sam2VideoModel"])
def test_the_parts_of_sam2_in_transformers(name, on_meta):
    transformers = pytest.importorskip("transformers")
    config = getattr(transformers, name.replace("Model", "Config"))()
    with on_meta():
        model = getattr(transformers, name)(config)
    state = model.state_dict()
    weights = find_hiera(state, "")
    assert weights.file_format == "sam2-transformers" and len(weights.neck) == 8 and len(weights.encoder) == 154
    assert weights.neck["fpn_lateral2.weight"].shape == (256, 96, 1, 1)
    parts = {"the prompt encoder": 15, "the mask decoder": 131}
    if name == "Sam2Model":
        parts |= {"the memory": 1}
    else:
        parts |= {"the memory": len(state) - 154 - 8 - 15 - 131}
    assert {what: len(keys) for what, keys in weights.dropped.items()} == parts


@pytest.mark.parametrize("name", VARIANTS)
def test_our_own_and_detectors(name, on_meta):
    with on_meta():
        classifier, backbone = build_hiera(name), HieraBackbone(name)
    loaded_whole(classifier.state_dict(), classifier, "original", {})
    for prefix in "backbone.", "backbone.bottom_up.":
        state = {prefix + key: value for key, value in backbone.state_dict().items()}
        loaded_whole(state, backbone, "detectron2", {})
        loaded_whole({**state, **OTHER}, backbone, "detectron2", {"other parts of the model": 2})


@pytest.mark.parametrize("wrapper", ["module.", "model.", "model.module."])
def test_detectors_in_a_wrapper(wrapper):
    backbone = HieraBackbone("hiera_tiny_224", embed_dim=8, stages=(1, 1, 1, 1), global_blocks=())
    state = {f"{wrapper}backbone.{key}": value for key, value in backbone.state_dict().items()}
    state[f"{wrapper}head.weight"] = torch.zeros(2)
    assert find_hiera(state, "").file_format == "detectron2"
    assert unwrapped(state).keys() == {key.removeprefix(wrapper) for key in state}
    plain = {f"{wrapper}{key}": value for key, value in backbone.state_dict().items()}
    assert find_hiera(plain, "").file_format == "original" and unwrapped(plain) == plain


@pytest.mark.parametrize(
    "tensor, what",
    [
        (torch.zeros(8, dtype=torch.int64), r"torch\.int64"),
        (torch.zeros(8, dtype=torch.complex64), r"torch\.complex64"),
        (torch.tensor([1.0, float("nan")]), "NaN or infinite"),
        (torch.tensor([1e300], dtype=torch.float64), "NaN or infinite"),  # in float32
    ],
    ids=["int", "complex", "nan", "large"],
)
def test_tensors_that_are_no_weights(tensor, what):
    state = build_hiera("hiera_tiny_224", embed_dim=8, stages=(1, 1, 1, 1)).state_dict()
    with pytest.raises(ValueError, match=rf"x\.pth: 1 tensors are no weights.*\n  blocks\.0\.norm1\.bias: {what}"):
        find_hiera({**state, "blocks.0.norm1.bias": tensor}, "x.pth")
    find_hiera({**state, "decoder_pred.bias": tensor}, "x.pth")  # nobody needs it
    find_hiera({key: value.half() for key, value in state.items()}, "x.pth")


def test_layer_scale_is_refused_by_name(references, on_meta):
    """Some of timm's absolute-win models scale the output of each layer; without that they load."""
    timm = pytest.importorskip("timm")
    with on_meta():
        model = HieraBackbone("hiera_base_224", pos_embed_size=(14, 14))
        scaled = timm.create_model("hiera_base_abswin_256").state_dict()
        arguments = {**references.variant("hiera_base_224"), "input_size": (256, 256), "abs_win_pos_embed": True}
        unscaled = references.timm(arguments).state_dict()
    with pytest.raises(ValueError, match=r"(?s)\(format timm\) has LayerScale, which.*unknown.*blocks\.0\.ls1\.gamma"):
        load_hiera(model, find_hiera(scaled, "the file"), "the file")
    loaded_whole(unscaled, model, "timm", {"the classifier": 4})


def test_none_and_several():
    state = build_hiera("hiera_tiny_224", embed_dim=8, stages=(1, 1, 1, 1)).state_dict()
    with pytest.raises(ValueError, match=r"x\.pth holds no Hiera, or several: its names begin \['conv\.weight'\]"):
        find_hiera({"conv.weight": torch.zeros(1)}, "x.pth")
    with pytest.raises(ValueError, match="holds no Hiera, or several"):
        find_hiera({f"{prefix}.{key}": value for prefix in "ab" for key, value in state.items()}, "x.pth")


def test_very_many_patch_embeddings_are_told_at_once():
    state = {f"{number}.patch_embed.proj.weight": torch.zeros(1) for number in range(30_000)}
    assert hiera_prefix(state) is None  # each name against each takes minutes
    assert hiera_prefix({**state, "7.blocks.0.norm1.weight": torch.zeros(1)}) == "7."
