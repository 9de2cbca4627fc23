"""SAM 2's image encoder where this package takes it: detectors, features, video; and where it is another function."""

from __future__ import annotations

import logging
import re

import pytest
import torch

import hiera_det
from hiera_det import HieraBackbone
from hiera_det.cli import info
from hiera_det.config import load_config
from hiera_det.detection.model.detector import build_model
from hiera_det.features.config import defaults as features_defaults
from hiera_det.hiera.variants import SAM2_TRUNKS
from hiera_det.projects.ava.config import defaults as actions_defaults
from hiera_det.weights.convert import convert_checkpoint
from hiera_det.weights.load import load_weights
from hiera_det.weights.read import read_checkpoint

SMALL = [
    *("MODEL.HIERA.EMBED_DIM", "16", "MODEL.HIERA.NUM_HEADS", "1", "MODEL.HIERA.STAGES", "[1,2,2,1]"),
    *("MODEL.HIERA.GLOBAL_BLOCKS", "[4]", "MODEL.HIERA.WINDOW_SIZES", "[8,4,6,3]", "MODEL.FPN.OUT_CHANNELS", "8"),
    *("MODEL.ROI_BOX_HEAD.FC_DIM", "8", "MODEL.ROI_MASK_HEAD.CONV_DIM", "8"),
]
# The shipped configs of SAM 2's trunks, by the variant of images that they are.
SHIPPED = {
    "mask_rcnn_sam2.1_t": "hiera_tiny_224",
    "mask_rcnn_sam2.1_s": "hiera_small_224",
    "mask_rcnn_sam2.1_b_plus": "hiera_base_plus_224",
    "cascade_mask_rcnn_sam2.1_b_plus": "hiera_base_plus_224",
    "mask_rcnn_sam2.1_l": "hiera_large_224",
    "features_sam2.1_b_plus": "hiera_base_plus_224",
    "ava/sam2.1_t_16x4": "hiera_tiny_224",
    "ava/sam2.1_b_plus_16x4": "hiera_base_plus_224",
}


def config(name, *overrides):
    defaults = {"ava": actions_defaults, "fea": features_defaults}.get(name[:3])
    return load_config(name, overrides, defaults and defaults())


@pytest.fixture
def trunk(redraw):
    """Timm's ``sam2_hiera_tiny``."""
    model = pytest.importorskip("timm").create_model("sam2_hiera_tiny", pretrained=False, num_classes=0).eval()
    redraw(model)
    return model


@pytest.fixture
def file(trunk, saved):
    """Its weights, as SAM 2 has them."""
    layer = {"fc1": "layers.0", "fc2": "layers.1"}
    state = {
        "image_encoder.trunk." + re.sub(r"(?<=mlp\.)fc\d", lambda match: layer[match[0]], key): value
        for key, value in trunk.state_dict().items()
        if not key.startswith("head.")
    }
    return saved({**state, "no_mem_embed": torch.zeros(1)}, "sam2.1_hiera_tiny.pt", "model")


def maps_of(trunk, x):
    with torch.no_grad():
        return trunk.forward_intermediates(x, intermediates_only=True)


@pytest.mark.parametrize(("name", "variant"), SHIPPED.items())
def test_the_shipped_configs_have_one_table(name, variant):
    """Their weights are of the size, and the model is the trunk of that size."""
    cfg = config(name)
    with torch.device("meta"):
        model = HieraBackbone.from_config(cfg)
        trunk = HieraBackbone(variant, **SAM2_TRUNKS[variant])
    assert (model.layout, model.window_sizes, model.global_blocks) == (
        "windowed",
        trunk.window_sizes,
        trunk.global_blocks,
    )
    assert model.get_parameter(model.spatial_name).shape == trunk.pos_embed.shape
    assert (model.stages, model.stage_dims, model.pos_embed_kind) == (trunk.stages, trunk.stage_dims, "absolute_win")
    size = variant.removeprefix("hiera_").removesuffix("_224")
    assert cfg.MODEL.WEIGHTS.removeprefix("hiera://") == f"sam2.1_hiera_{size}"
    assert list(cfg.MODEL.PIXEL_MEAN) == [123.675, 116.28, 103.53]


@pytest.mark.parametrize("norm", ["", "LN"])
def test_the_neck_starts_the_laterals(norm, redraw, saved, relative_error, caplog):
    """Without a norm, they are what the neck computes of the same maps; where it adds, so does the pyramid."""
    transformers = pytest.importorskip("transformers")
    trunk = transformers.Sam2HieraDetConfig(
        hidden_size=16,
        num_attention_heads=1,
        blocks_per_stage=[1, 2, 2, 1],
        embed_dim_per_stage=[16, 32, 64, 128],
        num_attention_heads_per_stage=[1, 2, 4, 8],
        window_size_per_stage=[8, 4, 6, 3],
        global_attention_blocks=[4],
    )
    channels = [128, 64, 32, 16]
    vision = transformers.Sam2VisionConfig(
        backbone_config=trunk, backbone_channel_list=channels, fpn_hidden_size=8, num_feature_levels=4
    )
    reference = transformers.Sam2VisionModel(vision).eval()
    redraw(reference)
    path = saved({f"vision_encoder.{key}": value for key, value in reference.state_dict().items()}, "sam2.pt")
    overrides = [*SMALL, "MODEL.FPN.NORM", norm or "''", "MODEL.HIERA.SQUARE_PAD", "0"]
    model = build_model(load_config("mask_rcnn_sam2.1_t", overrides)).eval()
    with caplog.at_level(logging.INFO):
        report = load_weights(model, path)
    x = torch.randn(1, 3, 128, 192, generator=torch.Generator().manual_seed(2))
    pyramid = model.backbone.fpn
    with torch.no_grad():
        expected = reference(x).fpn_hidden_states
        maps = list(model.backbone.bottom_up(x).values())
        convolved = [pyramid.inner_blocks[str(i + 2)][0](its) for i, its in enumerate(maps)]
        if norm:  # no biases
            convolved = [
                its + conv.bias[:, None, None] for its, conv in zip(convolved, reference.neck.convs[::-1], strict=True)
            ]
        convolved[2] = convolved[2] + torch.nn.functional.interpolate(convolved[3], scale_factor=2.0)
    assert all(relative_error(a, b) < 1e-5 for a, b in zip(convolved, expected, strict=True))
    laterals = [
        f"backbone.fpn_lateral{i}.{name}" for i in (2, 3, 4, 5) for name in (["weight"] if norm else ["bias", "weight"])
    ]
    assert f"from SAM 2's neck: {', '.join(laterals)}" in caplog.text and set(laterals) < set(report.loaded)
    biases = [f"fpn_lateral{i}.bias" for i in (5, 4, 3, 2)]
    assert report.dropped == ({"SAM 2's neck": biases} if norm else {})
    others = len(model.state_dict()) - len(report.loaded)
    assert f"initialised anew: the {others} tensors" in caplog.text
    wide = build_model(load_config("mask_rcnn_sam2.1_t", [*SMALL, "MODEL.FPN.OUT_CHANNELS", "16"]))
    assert len(load_weights(wide, path).dropped["SAM 2's neck"]) == 8
    backbone = load_weights(wide.backbone.bottom_up, path)
    assert len(backbone.dropped["SAM 2's neck"]) == 8 and not backbone.missing


@pytest.mark.parametrize(
    ("overrides", "differing"),
    [
        ([], ""),
        (["MODEL.HIERA.WINDOW_SIZES", "[8,4,16,8]"], "MODEL.HIERA.WINDOW_SIZES (8, 4, 14, 7)"),
        (["MODEL.HIERA.POS_EMBED_SIZE", "None"], "MODEL.HIERA.POS_EMBED_SIZE (7, 7)"),
        (["MODEL.HIERA.GLOBAL_BLOCKS", "[5]"], "MODEL.HIERA.GLOBAL_BLOCKS (5, 7, 9)"),
        (["MODEL.HIERA.LAYOUT", "released"], "MODEL.HIERA.LAYOUT 'windowed'"),
        (
            ["MODEL.HIERA.POS_EMBED", "resize", "MODEL.HIERA.POS_EMBED_SIZE", "None"],
            "MODEL.HIERA.POS_EMBED 'absolute_win', MODEL.HIERA.POS_EMBED_SIZE (7, 7)",
        ),
    ],
)
def test_another_function_is_said(overrides, differing, file, caplog):
    backbone = HieraBackbone.from_config(load_config("mask_rcnn_sam2.1_t", overrides))
    load_weights(backbone, file)
    said = [line for line in caplog.messages if "another function" in line]
    assert len(said) == bool(differing) and all(line.endswith(f"The same needs {differing}") for line in said)


def test_a_resized_embedding_has_no_size_of_its_own():
    with pytest.raises(ValueError, match=r"pos_embed_size=\(7, 7\) is of pos_embed='absolute_win', not of 'resize'"):
        HieraBackbone.from_config(load_config("mask_rcnn_sam2.1_t", ["MODEL.HIERA.POS_EMBED", "resize"]))


def test_features_are_those_of_the_trunk(file, trunk, relative_error, caplog):
    """Of the weights alone, by ``hiera_det.load``, and by a config."""
    extractor = hiera_det.load(file, device="cpu")
    assert not [line for line in caplog.messages if "another function" in line]
    x = torch.randn(1, 3, 96, 160, generator=torch.Generator().manual_seed(2))
    expected = maps_of(trunk, x)
    with torch.no_grad():
        found = extractor.backbone(x)
    assert list(found) == ["res2", "res3", "res4", "res5"]
    assert all(relative_error(a, b) < 1e-5 for a, b in zip(found.values(), expected, strict=True))


def test_info(file, capsys):
    info.main([file])
    assert re.search(r"model +hiera_tiny_224 with SAM 2's windows\n", capsys.readouterr().out)


def test_clips_that_stand_still(file, trunk, relative_error):
    """Inflated, a frame has the image's maps at every size."""
    backbone = HieraBackbone.from_config(config("ava/sam2.1_t_16x4", "MODEL.HIERA.NORM", "")).eval()
    report = load_weights(backbone, file)
    assert set(report.resized) == {"patch_embed.proj.weight", "pos_embed_temporal"}
    x = torch.randn(1, 3, 96, 160, generator=torch.Generator().manual_seed(2))
    expected = maps_of(trunk, x)
    with torch.no_grad():
        found = backbone(x[:, :, None].expand(-1, -1, 4, -1, -1))
    for clip, image in zip(found.values(), expected, strict=True):
        for frame in clip.unbind(2)[1:]:  # the first sees zeros before itself, which the kernel multiplies by zero
            assert relative_error(frame, image) < 1e-4
        assert relative_error(clip[:, :, 0], image) < 1e-4


def test_converted_for_detectron2(file, trunk, tmp_path):
    """With its own global part, for a model with its ``pos_embed_size``."""
    convert_checkpoint(file, tmp_path / "sam2.pth", "detectron2")
    state = read_checkpoint(tmp_path / "sam2.pth")["model"]
    backbone = HieraBackbone.from_config(load_config("mask_rcnn_sam2.1_t"))
    backbone.load_state_dict(state)
    assert torch.equal(state["pos_embed"], trunk.pos_embed)
