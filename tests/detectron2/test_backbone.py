"""detectron2's backbone contract, point by point."""

from __future__ import annotations

import pytest
import torch
from torch import nn

pytest.importorskip(
    "detectron2",
    reason="needs detectron2: https://detectron2.readthedocs.io/en/latest/tutorials/install.html",
)
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, build_backbone, build_model
from detectron2.modeling.backbone.vit import get_vit_lr_decay_rate
from detectron2.solver.build import get_default_optimizer_params

from hiera_det.detectron2 import add_hiera_config
from hiera_det.engine.optim import param_groups

NO_SQUARE = ["MODEL.HIERA.SQUARE_PAD", "0"]


def sizes(model, cfg, *shapes):
    """Of the batch that detectron2 makes of images of these (height, width)."""
    images = [{"image": torch.zeros(3, *shape, dtype=torch.uint8)} for shape in shapes]
    return tuple(model.preprocess_image(images).tensor.shape[2:])


def test_names_in_the_registry():
    for name in ("build_hiera_backbone", "build_hiera_fpn_backbone", "build_retinanet_hiera_fpn_backbone"):
        assert name in BACKBONE_REGISTRY


def test_a_bare_backbone_takes_any_size(config):
    cfg = config("base_rcnn_fpn", "MODEL.BACKBONE.NAME", "build_hiera_backbone", *NO_SQUARE)
    backbone = build_backbone(cfg).eval()
    shapes = backbone.output_shape()
    assert {name: (shape.channels, shape.stride) for name, shape in shapes.items()} == {
        "res2": (8, 4),
        "res3": (16, 8),
        "res4": (32, 16),
        "res5": (64, 32),
    }
    maps = backbone(torch.randn(2, 3, 50, 71))
    assert {name: tuple(m.shape) for name, m in maps.items()} == {
        name: (2, shape.channels, -(-50 // shape.stride), -(-71 // shape.stride)) for name, shape in shapes.items()
    }


def test_a_bare_backbone_with_some_maps_and_a_square(config):
    bare = ["MODEL.BACKBONE.NAME", "build_hiera_backbone", "MODEL.HIERA.OUT_FEATURES", "['res3','res4']"]
    backbone = build_backbone(config("base_rcnn_fpn", *bare))
    assert list(backbone.output_shape()) == ["res3", "res4"]
    assert backbone.padding_constraints["square_size"] == 1024


def test_pyramid(config):
    backbone = build_backbone(config("base_rcnn_fpn", *NO_SQUARE)).eval()
    levels = backbone(torch.randn(1, 3, 128, 192))
    for name, shape in backbone.output_shape().items():
        assert levels[name].shape == (1, shape.channels, 128 // shape.stride, 192 // shape.stride)
    averaged = build_backbone(config("base_rcnn_fpn", *NO_SQUARE, "MODEL.FPN.FUSE_TYPE", "avg")).eval()
    averaged.load_state_dict(backbone.state_dict())
    assert not torch.equal(averaged(torch.ones(1, 3, 64, 64))["p2"], backbone(torch.ones(1, 3, 64, 64))["p2"])
    assert [shape.stride for shape in backbone.output_shape().values()] == [4, 8, 16, 32, 64]


def test_padding(config):
    cfg = config("quickstart", *NO_SQUARE)
    assert sizes(build_model(cfg), cfg, (50, 70)) == (64, 96)
    assert sizes(build_model(cfg), cfg, (50, 70), (97, 20)) == (128, 96)
    cfg = config("quickstart", "MODEL.HIERA.SQUARE_PAD", "160")
    assert sizes(build_model(cfg), cfg, (50, 70)) == (160, 160)
    assert sizes(build_model(cfg), cfg, (50, 70), (97, 20)) == (160, 160)


def test_a_square_that_would_cut_images_is_refused(config):
    cfg = config("base_rcnn_fpn", "MODEL.HIERA.SQUARE_PAD", "512")
    with pytest.raises(ValueError, match=r"SQUARE_PAD is 512.* up to 1024.*cut larger images off"):
        build_backbone(cfg)
    with pytest.raises(ValueError, match=r"MIN_SIZE_TEST is 0 .*cut larger images off"):
        build_backbone(config("base_rcnn_fpn", "INPUT.MIN_SIZE_TEST", "0"))


def test_a_pyramid_that_ends_at_stride_16(config):
    some = ["MODEL.FPN.IN_FEATURES", "['res2','res3','res4']"]
    cfg = config("quickstart", *some, *NO_SQUARE, "MODEL.RPN.IN_FEATURES", "['p2','p3','p4','p5']")
    cfg.defrost()
    cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[16], [32], [64], [128]]
    cfg.MODEL.ROI_HEADS.IN_FEATURES = ["p2", "p3", "p4"]
    model = build_model(cfg).eval()
    assert sizes(model, cfg, (50, 70)) == (64, 80)
    levels = model.backbone(torch.randn(1, 3, 48, 80))
    assert list(levels) == ["p2", "p3", "p4", "p5"]
    assert torch.equal(levels["p5"], levels["p4"][..., ::2, ::2])  # detectron2's own top level would look for p5
    assert not any("blocks.3" in name for name, _ in model.named_parameters())  # nothing would train the last stage


def test_retinanets_pyramid(config):
    backbone = build_backbone(config("retinanet_hiera_b", *NO_SQUARE)).eval()
    levels = backbone(torch.randn(1, 3, 128, 128))
    assert {name: m.shape[-1] for name, m in levels.items()} == {"p3": 16, "p4": 8, "p5": 4, "p6": 2, "p7": 1}


def test_frozen_stages(config):
    backbone = build_backbone(config("base_rcnn_fpn", "MODEL.BACKBONE.FREEZE_AT", "2"))
    frozen = {name.split(".")[1] for name, p in backbone.named_parameters() if not p.requires_grad}
    assert frozen == {"patch_embed", "pos_embed", "pos_embed_window", "blocks"}
    blocks = backbone.bottom_up.blocks
    assert not any(p.requires_grad for p in blocks[0].parameters())
    assert all(p.requires_grad for p in blocks[1].parameters())


def test_detectron2s_own_layer_decay(config):
    """Theirs, which goes by the index after ".blocks.", gives Hiera's blocks what ours does."""
    model = build_model(config("quickstart"))
    names = {id(parameter): name for name, parameter in model.named_parameters()}

    def rates(groups):
        return {names[id(p)]: pytest.approx(group["lr"]) for group in groups for p in group["params"]}

    theirs = get_default_optimizer_params(
        model, base_lr=1.0, lr_factor_func=lambda name: get_vit_lr_decay_rate(name, 0.5, num_layers=4)
    )
    assert rates(param_groups(model, base_lr=1.0, weight_decay=0.1, layer_decay=0.5)) == rates(theirs)
    assert len(set(names.values())) == len(rates(theirs))


def test_name_matching(config, tmp_path):
    """A file with the backbone's own names, as detectron2 loads other projects' backbones."""
    cfg = config("quickstart")
    torch.manual_seed(1)
    source, target = build_model(cfg), build_model(cfg)
    torch.save({"model": source.backbone.bottom_up.state_dict()}, tmp_path / "backbone.pth")
    before = target.roi_heads.box_head.fc1.weight.clone()
    DetectionCheckpointer(target).load(f"{tmp_path / 'backbone.pth'}?matching_heuristics=True")
    for key, value in target.backbone.bottom_up.state_dict().items():
        assert torch.equal(value, source.backbone.bottom_up.state_dict()[key]), key
    assert torch.equal(target.roi_heads.box_head.fc1.weight, before)


class OnlyTensors(nn.Module):
    """The maps as a tuple, which tracing wants."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, x):
        return tuple(self.backbone(x).values())


@pytest.mark.parametrize("how", ["trace", "export"])
def test_tracing(config, how):
    model = OnlyTensors(build_backbone(config("base_rcnn_fpn", *NO_SQUARE))).eval()
    example, other = torch.randn(2, 1, 3, 64, 96)
    with torch.no_grad():
        traced = torch.jit.trace(model, example) if how == "trace" else torch.export.export(model, (example,)).module()
        for found, expected in zip(traced(other), model(other), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_a_forgotten_add_hiera_config():
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.NAME = "build_hiera_fpn_backbone"
    with pytest.raises(ValueError, match=r"no MODEL\.HIERA: call .*add_hiera_config\(cfg\)"):
        build_backbone(cfg)


def test_keys_that_do_not_fit(config):
    with pytest.raises(ValueError, match="3 channels"):
        build_backbone(config("base_rcnn_fpn"), ShapeSpec(channels=1))
    with pytest.raises(ValueError, match=r"MODEL\.FPN\.IN_FEATURES is \['res6'\]"):
        build_backbone(config("base_rcnn_fpn", "MODEL.FPN.IN_FEATURES", "['res6']"))
    with pytest.raises(ValueError, match="hiera_huge_17"):
        build_backbone(config("base_rcnn_fpn", "MODEL.HIERA.NAME", "hiera_huge_17"))


def test_what_detectron2_has_read_itself_is_held_to_the_ranges():
    cfg = get_cfg()
    add_hiera_config(cfg)
    cfg.merge_from_list(["MODEL.BACKBONE.NAME", "build_hiera_fpn_backbone", "MODEL.HIERA.EMBED_DIM", "0"])
    with pytest.raises(ValueError, match=r"the config: MODEL\.HIERA\.EMBED_DIM is 0; expected a whole number from 1"):
        build_backbone(cfg)


def test_keys_are_added_as_detectron2s_nodes():
    cfg = get_cfg()
    add_hiera_config(cfg)
    assert type(cfg.MODEL.HIERA) is type(cfg)
    assert cfg.clone().MODEL.HIERA == cfg.MODEL.HIERA


@pytest.mark.parametrize(("channels", "image_format"), [(1, "L"), (4, "RGBA")])
def test_channels_of_pixel_mean(config, channels, image_format):
    keys = ["MODEL.PIXEL_MEAN", str([1.0] * channels), "MODEL.PIXEL_STD", str([1.0] * channels)]
    model = build_model(config("base_rcnn_fpn", *keys, "INPUT.FORMAT", image_format, *NO_SQUARE)).eval()
    assert model.backbone.bottom_up.patch_embed.proj.in_channels == channels
    with torch.no_grad():
        model([{"image": torch.zeros(channels, 64, 64, dtype=torch.uint8)}])
    with pytest.raises(ValueError, match=rf"PIXEL_MEAN has {channels} values and INPUT.FORMAT is 'RGB'; detectron2"):
        build_backbone(config("base_rcnn_fpn", *keys, "INPUT.FORMAT", "RGB", *NO_SQUARE))
