"""The detector, from images to detections, against detectron2's GeneralizedRCNN with the same weights."""

from __future__ import annotations

import pytest
import torch

from hiera_det.detection.model.detector import build_model
from hiera_det.detection.model.detectron2_names import to_detectron2

LOSSES = {"loss_rpn_cls", "loss_rpn_loc", "loss_cls", "loss_box_reg"}


def train(model, tiny, name: str) -> dict:
    overrides, sizes, seed = tiny.MODELS[name]
    targets = tiny.targets(sizes, seed)
    unused = "masks" if overrides.get("INPUT.MASK_FORMAT") == "polygon" else "polygons"
    for target in targets:
        del target[unused]
    torch.manual_seed(seed)
    return model.train()(tiny.images(sizes, seed), targets)


def test_detections(build, tiny, recorded, unpack, name):
    """Same number and order, boxes within 1e-3 pixels, scores within 1e-5, masks but for 1e-5 of the pixels."""
    _, sizes, seed = tiny.MODELS[name]
    with torch.no_grad():
        results = build(name).eval()(tiny.images(sizes, seed), output_sizes=tiny.output_sizes(sizes))
    for i, (result, size) in enumerate(zip(results, tiny.output_sizes(sizes), strict=True)):
        expected = {key: recorded[f"{name}/{i}/{key}"] for key in ("boxes", "scores", "labels")}
        assert torch.equal(result["labels"], expected["labels"])
        assert (result["boxes"] - expected["boxes"]).abs().max() < 1e-3
        assert (result["scores"] - expected["scores"]).abs().max() < 1e-5
        assert len(expected["labels"].unique()) > 2
        if "masks" in result:
            masks = unpack(recorded[f"{name}/{i}/masks"], (len(result["masks"]), *size))
            assert (result["masks"] != masks).float().mean() < 1e-5
            assert 0.005 < masks.float().mean() < 0.5


def test_losses_and_gradients(build, tiny, recorded, recorded_names, name):
    """With one seed; the last of plain_mask_polygon's three images has no annotation."""
    if not torch.equal(torch.randperm(20, generator=torch.Generator().manual_seed(0)), recorded["randperm"]):
        pytest.skip("this version of torch draws other permutations than the one that the losses were recorded with")
    model = build(name)
    losses = train(model, tiny, name)
    assert set(losses) == {key.rpartition("/")[2] for key in recorded if key.startswith(f"{name}/loss")}
    assert {key.partition("_stage")[0] for key in losses} - {"loss_mask"} == LOSSES
    for key, value in losses.items():
        torch.testing.assert_close(value.detach(), recorded[f"{name}/{key}"], rtol=1e-5, atol=0)
    sum(losses.values()).backward()
    gradients = to_detectron2({key: parameter.grad for key, parameter in model.named_parameters()})
    norms = torch.stack([gradients[key].norm() for key in recorded_names[name]])
    torch.testing.assert_close(norms, recorded[f"{name}/gradients"], rtol=1e-3, atol=1e-7)


HIERA = {
    "MODEL.HIERA.NAME": "hiera_tiny_224",
    "MODEL.HIERA.EMBED_DIM": 8,
    "MODEL.HIERA.STAGES": [1, 1, 1, 1],
    "MODEL.HIERA.GLOBAL_BLOCKS": [],
    "MODEL.HIERA.NORM": "LN",
}


@pytest.mark.parametrize("first", [2, 3])
def test_every_parameter_gets_a_gradient_where_the_pyramid_leaves_maps_out(tiny, first):
    """DDP stops on one that gets none."""
    taken = [f"res{first + i}" for i in range(3)]
    levels = [f"p{first + i}" for i in range(4)]
    overrides = {"MODEL.FPN.IN_FEATURES": taken, "MODEL.RPN.IN_FEATURES": levels}
    overrides |= {"MODEL.ROI_HEADS.IN_FEATURES": levels[:3], "MODEL.ANCHOR_GENERATOR.SIZES": [[16], [32], [64], [128]]}
    torch.manual_seed(0)
    model = build_model(tiny.config({**HIERA, **overrides})).train()
    assert model.backbone.bottom_up.out_features == tuple(taken)
    targets = tiny.targets([(96, 128)], 1)
    del targets[0]["polygons"]
    sum(model(tiny.images([(96, 128)], 1), targets).values()).backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("taken", [["res2", "res3", "res4"], []])
def test_maps_that_the_backbone_does_not_give(tiny, taken):
    cfg = tiny.config({**HIERA, "MODEL.HIERA.OUT_FEATURES": ["res3", "res4"], "MODEL.FPN.IN_FEATURES": taken})
    with pytest.raises(
        ValueError, match=r"MODEL\.FPN\.IN_FEATURES is .*MODEL\.HIERA\.OUT_FEATURES, \['res3', 'res4'\]"
    ):
        build_model(cfg)


def test_result_refers_to_the_given_image_by_default(build, tiny):
    model = build("vitdet_mask_bitmask").eval()
    with torch.no_grad():
        (result,) = model(tiny.images([(70, 90)], 1))
    assert result["masks"].shape[1:] == (70, 90)
    assert result["masks"].dtype == torch.bool
    assert result["boxes"].max() <= 90
    assert set(result["labels"].tolist()) <= {1, 2, 3, 4, 5}
    assert (result["scores"].diff() <= 0).all()


def test_float_images_are_0_to_255_too(build, tiny):
    model = build("plain_faster").eval()
    images = tiny.images([(64, 96)], 1)
    with torch.no_grad():
        (as_bytes,), (as_floats,) = model(images), model([image.float() for image in images])
    assert torch.equal(as_bytes["boxes"], as_floats["boxes"])


@pytest.mark.parametrize("stage", ["rpn", "roi_heads"])
def test_nothing_found(build, tiny, stage):
    """By the RPN: no proposals; by the box head: no detections."""
    model = build("vitdet_mask_bitmask").eval()
    if stage == "rpn":
        model.rpn.min_size = 1e9
    else:
        model.roi_heads.score_thresh = 1.0
    with torch.no_grad():
        results = model(tiny.images([(64, 96), (50, 70)], 1))
    assert [tuple(result["masks"].shape) for result in results] == [(0, 64, 96), (0, 50, 70)]
    assert [tuple(result["boxes"].shape) for result in results] == [(0, 4)] * 2


@pytest.mark.parametrize("name", ["vitdet_mask_bitmask", "plain_mask_polygon"])
def test_batch_without_annotations_reaches_every_parameter(build, tiny, name):
    """DistributedDataParallel waits for a gradient of each."""
    model = build(name).train()
    targets = [
        {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64), "polygons": []} for _ in range(2)
    ]
    losses = model(tiny.images([(64, 64)] * 2, 1), targets)
    assert losses["loss_rpn_loc"] == losses["loss_box_reg"] == losses["loss_mask"] == 0
    assert losses["loss_rpn_cls"] > 0
    assert losses["loss_cls"] > 0
    sum(losses.values()).backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast(build, tiny, dtype):
    name = "vitdet_mask_bitmask"
    expected = train(build(name), tiny, name)
    model = build(name)
    with torch.autocast("cpu", dtype):
        losses = train(model, tiny, name)
    for key, value in losses.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, expected[key], rtol=0.1, atol=0)
    sum(losses.values()).backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    with torch.no_grad(), torch.autocast("cpu", dtype):
        results = model.eval()(tiny.images([(96, 128)], 1))
    assert {value.dtype for value in results[0].values()} == {torch.float32, torch.int64, torch.bool}


def test_training_needs_targets(build, tiny):
    model = build("vitdet_mask_bitmask").train()
    images = tiny.images([(64, 64)], 1)
    with pytest.raises(ValueError, match="training needs targets"):
        model(images)
    target = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    with pytest.raises(ValueError, match="MASK_ON"):
        model(images, [target])
    with pytest.raises(ValueError, match=r"\['boxes'\] missing"):
        model(images, [{"labels": target["labels"], "masks": []}])


def test_hiera_is_the_default_backbone(tiny):
    from hiera_det.detection.model.detector import build_model

    model = build_model(tiny.config({"MODEL.HIERA.NAME": "hiera_tiny_224", "MODEL.HIERA.EMBED_DIM": 24}))
    assert type(model.backbone.bottom_up).__name__ == "HieraBackbone"
    with torch.no_grad():
        (result,) = model.eval()(tiny.images([(64, 96)], 1))
    assert result["masks"].shape[1:] == (64, 96)
    assert "backbone.bottom_up.patch_embed.proj.weight" in to_detectron2(model.state_dict())
