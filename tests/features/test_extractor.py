"""Features against the backbone's own output, and against the original's classifier."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hiera import Hiera as Original
from torchvision.ops import roi_align

from hiera_det import HieraBackbone, build_hiera
from hiera_det.config import load_config
from hiera_det.features.config import defaults
from hiera_det.features.extractor import FeatureExtractor, cut
from hiera_det.features.load import load_extractor

SMALL = {"embed_dim": 16, "num_heads": 1, "stages": (1, 1, 2, 1), "global_blocks": (3,)}
KEYS = ["MODEL.HIERA.EMBED_DIM", 16, "MODEL.HIERA.STAGES", [1, 1, 2, 1], "MODEL.HIERA.GLOBAL_BLOCKS", [3]]
ALL = ["FEATURES.MAPS", ["res2", "res3", "res4", "res5"], "FEATURES.VECTORS", ["mean", "max", "roi", "logits"]]


def config(*options):
    cfg = defaults()
    cfg.merge_from_list([*KEYS, "FEATURES.DTYPE", "fp32", "MODEL.DEVICE", "cpu", *options])
    return cfg


@pytest.fixture(scope="module")
def image_weights(tmp_path_factory):
    torch.manual_seed(0)
    model = build_hiera("hiera_base_224", **SMALL, num_classes=11)
    for parameter in model.parameters():  # a trained scale
        parameter.data.normal_(std=0.05)
    path = tmp_path_factory.mktemp("weights") / "small.pth"
    torch.save({"model_state": model.state_dict()}, path)
    return path


def normalised(pixels: torch.Tensor) -> torch.Tensor:
    cfg = defaults()
    mean, std = (
        torch.tensor(v).view(-1, *[1] * (pixels.dim() - 1)) for v in (cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD)
    )
    return ((pixels - mean) / std)[None]


@pytest.mark.parametrize("layout", ["released", "windowed"])
@pytest.mark.parametrize("size", [(64, 96), (50, 71)])
def test_maps_and_vectors_are_the_backbones(image_weights, size, layout):
    extractor = load_extractor(config("MODEL.WEIGHTS", str(image_weights), "MODEL.HIERA.LAYOUT", layout, *ALL))
    backbone = HieraBackbone("hiera_base_224", layout=layout, pos_embed="resize", **SMALL).eval()
    state = torch.load(image_weights, weights_only=True)["model_state"]
    backbone.load_state_dict({k: v for k, v in state.items() if not k.startswith(("norm", "head"))})
    pixels = [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for _ in range(3)]
    boxes = [torch.tensor([[3.0, 4.0, 40.0, 44.0], [0.0, 0.0, 10.0, 10.0]]), torch.zeros(0, 4), torch.ones(1, 4) * 9]
    boxes[2][:, 2:] += 20
    out = extractor(pixels, boxes)
    for i, image in enumerate(pixels):
        with torch.no_grad():
            maps = backbone(normalised(image))
        for name, theirs in maps.items():
            ours = cut(out.maps[name][i], image, extractor.strides[name])
            assert ours.shape == theirs[0].shape
            torch.testing.assert_close(ours, theirs[0], rtol=1e-4, atol=1e-5)
        last, vectors = maps["res5"][0], {name: values[i] for name, values in out.vectors.items() if name != "roi"}
        torch.testing.assert_close(vectors["mean"], last.mean(dim=(1, 2)), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(vectors["max"], last.amax(dim=(1, 2)), rtol=1e-4, atol=1e-5)
        bins = roi_align(maps["res5"], [boxes[i]], 7, 1 / 32, aligned=True)
        roi = out.vectors["roi"].split([2, 0, 1])[i]
        torch.testing.assert_close(roi, bins.mean(dim=(2, 3)), rtol=1e-4, atol=1e-5)


def test_logits_are_the_originals(image_weights):
    original = Original(embed_dim=16, num_heads=1, stages=(1, 1, 2, 1), num_classes=11).eval()
    original.load_state_dict(torch.load(image_weights, weights_only=True)["model_state"])
    extractor = load_extractor(config("MODEL.WEIGHTS", str(image_weights), "FEATURES.VECTORS", ["logits"]))
    pixels = [torch.randint(0, 256, (3, 224, 224), dtype=torch.uint8) for _ in range(2)]
    out = extractor(pixels, [torch.zeros(0, 4)] * 2)
    assert out.maps == {}
    for image, logits in zip(pixels, out.vectors["logits"], strict=True):
        with torch.no_grad():
            theirs = original(normalised(image))[0]  # probabilities
        torch.testing.assert_close(logits.softmax(dim=0), theirs, rtol=1e-4, atol=1e-6)


def test_clips(tmp_path):
    torch.manual_seed(0)
    model = build_hiera("hiera_base_16x224", **SMALL, num_classes=5).eval()
    torch.save({"model_state": model.state_dict()}, tmp_path / "video.pth")
    options = ["MODEL.HIERA.NAME", "hiera_base_16x224", "MODEL.WEIGHTS", str(tmp_path / "video.pth")]
    extractor = load_extractor(config(*options, *ALL))
    clip = torch.randint(0, 256, (3, 4, 64, 64), dtype=torch.uint8)
    box = torch.tensor([[8.0, 8.0, 40.0, 56.0]])
    out = extractor([clip, clip.flip(1)], [box, box])
    with torch.no_grad():
        _, maps = model(normalised(clip), return_intermediates=True)
    last = maps[-1].movedim(-1, 1)  # (1, C, T, H, W)
    torch.testing.assert_close(out.maps["res5"][0], last[0], rtol=1e-4, atol=1e-5)
    bins = roi_align(last.mean(dim=2), [box], 7, 1 / 32, aligned=True)
    torch.testing.assert_close(out.vectors["roi"][:1], bins.mean(dim=(2, 3)), rtol=1e-4, atol=1e-5)
    assert not torch.equal(out.maps["res5"][0], out.maps["res5"][1])


def test_padding_to_a_square_is_seen_by_the_model_and_not_stored(image_weights):
    """As detectors pad: the position embedding and the windows then lie as there."""
    options = ["MODEL.WEIGHTS", str(image_weights), "MODEL.HIERA.SQUARE_PAD", 96, "FEATURES.MAPS", ["res3"]]
    extractor = load_extractor(config(*options))
    image = torch.randint(0, 256, (3, 64, 40), dtype=torch.uint8)
    out = extractor([image], [torch.zeros(0, 4)])
    padded = torch.zeros(1, 3, 96, 96)
    padded[..., :64, :40] = normalised(image)
    theirs = extractor.backbone(padded)
    torch.testing.assert_close(out.maps["res3"], theirs["res3"], rtol=1e-4, atol=1e-5)
    own = theirs["res5"][0, :, :2, :2].mean(dim=(1, 2))
    torch.testing.assert_close(out.vectors["mean"][0], own, rtol=1e-4, atol=1e-5)


def test_only_the_blocks_that_are_needed(image_weights):
    extractor = load_extractor(
        config("MODEL.WEIGHTS", str(image_weights), "FEATURES.MAPS", ["res3"], "FEATURES.VECTORS", [])
    )
    assert len(extractor.backbone.blocks) == 2
    out = extractor([torch.zeros(3, 32, 32, dtype=torch.uint8)], [torch.zeros(0, 4)])
    assert list(out.maps) == ["res3"] and out.vectors == {}
    assert not any(parameter.requires_grad for parameter in extractor.parameters())


def test_a_detectors_backbone(image_weights, tmp_path):
    state = torch.load(image_weights, weights_only=True)["model_state"]
    trained = {f"backbone.bottom_up.{k}": v for k, v in state.items() if not k.startswith(("norm", "head"))}
    torch.save({"model": {**trained, "backbone.fpn_lateral2.weight": torch.zeros(1)}}, tmp_path / "model_final.pth")
    pixels, no_boxes = [torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)], [torch.zeros(0, 4)]
    ours, theirs = (
        load_extractor(config("MODEL.WEIGHTS", str(path)))(pixels, no_boxes).vectors["mean"][0]
        for path in (tmp_path / "model_final.pth", image_weights)
    )
    assert torch.equal(ours, theirs)
    with pytest.raises(ValueError, match=r"FEATURES\.VECTORS has logits, but .*model_final\.pth has no classifier"):
        load_extractor(config("MODEL.WEIGHTS", str(tmp_path / "model_final.pth"), "FEATURES.VECTORS", ["logits"]))


@pytest.mark.parametrize(
    ("key", "shape"),
    [("norm.weight", (1,)), ("norm.bias", (5,)), ("head.projection.weight", (5, 128)), ("head.projection.bias", ())],
)
def test_a_damaged_classifier_is_refused(image_weights, tmp_path, key, shape):
    """One value for all channels would be spread over them without a word."""
    state = torch.load(image_weights, weights_only=True)["model_state"]
    torch.save({"model_state": {**state, key: torch.ones(shape)}}, tmp_path / "damaged.pth")
    with pytest.raises(ValueError, match=r"damaged\.pth: the classifier is damaged: (norm|head\.projection)\."):
        load_extractor(config("MODEL.WEIGHTS", str(tmp_path / "damaged.pth"), "FEATURES.VECTORS", ["logits"]))


def test_norms_of_maps(image_weights, tmp_path, caplog):
    """A detector may have been trained with them: those that the config does not ask for are left out."""
    caplog.set_level("INFO")
    state = torch.load(image_weights, weights_only=True)["model_state"]
    trained = {f"backbone.{k}": v for k, v in state.items() if not k.startswith(("norm", "head"))}
    for name, channels in (("res3", 32), ("res5", 128)):
        trained[f"backbone.norm_{name}.weight"] = torch.full((channels,), 3.0)
        trained[f"backbone.norm_{name}.bias"] = torch.zeros(channels)
    torch.save({"model": trained}, tmp_path / "model_final.pth")
    weights = ["MODEL.WEIGHTS", str(tmp_path / "model_final.pth")]
    extractor = load_extractor(config(*weights, "MODEL.HIERA.NORM", "LN"))
    mean_square = extractor([torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)], [torch.zeros(0, 4)])
    assert mean_square.vectors["mean"][0].square().mean().item() == pytest.approx(9, rel=1e-3)
    assert "dropped, norms of maps: norm_res3.weight, norm_res3.bias" in caplog.text
    assert not load_extractor(config(*weights)).backbone.out_norm
    assert "norm_res5.bias" in caplog.text


def test_what_is_refused(image_weights, tmp_path):
    weights = ["MODEL.WEIGHTS", str(image_weights)]
    with pytest.raises(ValueError, match=r"MODEL\.WEIGHTS is empty"):
        load_extractor(config())
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth"):
        load_extractor(config("MODEL.WEIGHTS", "nowhere.pth"))
    torch.save({"model": {"fc.weight": torch.zeros(1)}}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="holds no Hiera"):
        load_extractor(config("MODEL.WEIGHTS", str(tmp_path / "other.pth")))
    with pytest.raises(ValueError, match=r"MODEL\.HIERA\.NORM is 'LN', but .*small\.pth has no .*norm_res5\.bias"):
        load_extractor(config(*weights, "MODEL.HIERA.NORM", "LN"))
    with pytest.raises(ValueError, match="another variant"):
        load_extractor(config(*weights, "MODEL.HIERA.EMBED_DIM", 32))
    for key, value, message in (
        ("MAPS", ["res6"], "no stage is called 'res6'; expected some of res2, res3, res4, res5"),
        ("VECTORS_FROM", "p3", "no stage is called 'p3'"),
        ("VECTORS", ["median"], r"FEATURES\.VECTORS has median"),
        ("VECTORS", [], "nothing to extract"),
        ("DTYPE", "int8", r"FEATURES\.DTYPE is 'int8'; expected one of fp16, bf16, fp32"),
        ("PRECISION", "fp64", r"FEATURES\.PRECISION is 'fp64'"),
    ):
        with pytest.raises(ValueError, match=message):
            load_extractor(config(*weights, f"FEATURES.{key}", value))


def test_the_shipped_config():
    path = Path(__file__).parents[2] / "configs" / "features_hiera_b.yaml"
    cfg = load_config(path, [], defaults())
    assert f"--config configs/{path.name}" in path.read_text()
    assert FeatureExtractor(cfg).strides == {"res5": 32}
