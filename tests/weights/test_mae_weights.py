"""Weights of masked autoencoders: into each model, at other sizes, to other packages and back, from zoo and hub."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from hiera_det import Hiera, HieraBackbone, MaskedAutoencoderHiera, build_hiera, load_weights
from hiera_det.hiera.variants import MAE_VARIANTS, VARIANTS
from hiera_det.weights.build import pretrained_hiera
from hiera_det.weights.convert import convert_checkpoint
from hiera_det.weights.zoo import ZOO, checkpoints_of

CHECKOUT = str(Path(__file__).parents[2])
DECODER = {"decoder_embed_dim": 16, "decoder_depth": 1, "decoder_num_heads": 2}  # of `references.mae`
SIZE = {"small": (64, 64), "video": (4, 64, 64)}
KINDS = list(SIZE)


def inputs(*size: int) -> Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(2))


def random_mask(units: int) -> tuple[Tensor, Tensor]:
    """Noise and the mask that transformers draws from it: it keeps 4 of 10 units, those of the smallest numbers."""
    noise = torch.rand(2, units, generator=torch.Generator().manual_seed(3))
    mask = noise.argsort(1).argsort(1) < int(units * 0.4)
    assert not torch.equal(mask[0], mask[1])
    return noise, mask


def arguments_of(kind: str, references) -> dict:
    return references.small | (references.video if kind == "video" else {})


@pytest.fixture
def ours(references, redraw):
    """``ours(kind, **overrides)``: our masked autoencoder, small, at a trained scale of its own."""

    def built(kind: str, **overrides) -> MaskedAutoencoderHiera:
        arguments = {"input_size": SIZE[kind], "q_pool": 2, **arguments_of(kind, references), **DECODER, **overrides}
        model = MaskedAutoencoderHiera(**arguments).eval()
        redraw(model)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(0.9)  # not those of a reference that is redrawn as well
        return model

    return built


@pytest.fixture
def theirs(references, redraw):
    """``theirs(kind)``: the original's."""

    def built(kind: str) -> nn.Module:
        model = references.mae(arguments_of(kind, references)).eval()
        redraw(model)
        return model

    return built


def is_same(state: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return state.keys() == other.keys() and all(torch.equal(value, other[key]) for key, value in state.items())


def copied(model: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items()}


def of_decoder(model: nn.Module) -> list[str]:
    """What a classifier's file lacks."""
    begins = ("decoder_", "mask_token", "multi_scale_fusion_heads.", "encoder_norm.")
    return sorted(key for key in model.state_dict() if key.startswith(begins))


# --- into models


@pytest.mark.parametrize("kind", KINDS)
def test_a_published_file_is_loaded_completely(kind, ours, theirs, saved, relative_error):
    reference, model = theirs(kind), ours(kind)
    report = load_weights(model, saved(reference, "x.pth", "model_state"))
    assert is_same(model.state_dict(), reference.state_dict())
    assert report.loaded == sorted(model.state_dict()) and report.file_format == "original"
    assert not (report.missing or report.unexpected or report.dropped or report.resized)
    _, mask = random_mask(8 if kind == "video" else 4)
    with torch.no_grad():
        expected, got = (each(inputs(*SIZE[kind]), mask=mask) for each in (reference, model))
    assert all(relative_error(a, b) < 1e-5 for a, b in zip(got[:3], expected[:3], strict=True))


@pytest.mark.parametrize(
    "name",
    [
        "mask_token",
        "decoder_pos_embed",
        "decoder_embed.weight",
        "decoder_blocks.0.attn.qkv.bias",
        "decoder_pred.weight",
        "multi_scale_fusion_heads.1.bias",
        "encoder_norm.weight",
    ],
)
def test_a_missing_tensor_is_named(name, ours, saved):
    model = ours("small")
    state, before = copied(ours("small")), copied(model)
    del state[name]
    path = saved(state, "x.pth", "model_state")
    with pytest.raises(ValueError, match=rf"x\.pth \(format original\).*\n  missing in the file: {name}$"):
        load_weights(model, path)
    assert is_same(model.state_dict(), before)
    report = load_weights(model, path, strict=False)
    assert report.missing == [name] and report.loaded == sorted(state)


@pytest.mark.parametrize(
    "name", ["decoder_blocks.1.norm1.weight", "multi_scale_fusion_heads.2.weight", "decoder_head.bias"]
)
def test_a_foreign_tensor_is_named(name, ours, saved):
    model, state = ours("small"), copied(ours("small")) | {name: torch.zeros(16)}
    path = saved(state, "x.pth", "model_state")
    with pytest.raises(ValueError, match=rf"x\.pth \(format original\).*\n  unknown to the model: {name}$"):
        load_weights(model, path)
    assert load_weights(model, path, strict=False).unexpected == [name]


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("decoder_pred.weight", (108, 16)),
        ("mask_token", (16,)),
        ("decoder_pos_embed", (1,)),
        ("decoder_pos_embed", (1, 16, 24)),
        ("decoder_pos_embed", (1, 24, 16)),
        ("decoder_pos_embed", (1, 0, 16)),
        ("encoder_norm.bias", (5,)),
    ],
)
def test_a_tensor_of_another_shape_is_named(name, shape, ours, saved):
    model, state = ours("small"), copied(ours("small")) | {name: torch.zeros(shape)}
    before = copied(model)
    shape = str(shape).replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(ValueError, match=rf"(?s)x\.pth.*{name}\b.*{shape}"):
        load_weights(model, saved(state, "x.pth"), strict=False)
    assert is_same(model.state_dict(), before)


def test_a_decoder_of_no_numbers_is_refused_where_it_is_used(ours, references, saved):
    state = copied(ours("small"))
    state["mask_token"][..., 0] = float("nan")
    path = saved(state, "x.pth")
    with pytest.raises(ValueError, match="mask_token: NaN or infinite"):
        load_weights(ours("small"), path)
    load_weights(Hiera(input_size=(64, 64), q_pool=2, **references.small), path)


def test_a_classifiers_file_leaves_the_decoder_as_it_is(ours, references, saved, redraw, caplog):
    model, classifier = ours("small"), Hiera(input_size=(64, 64), q_pool=2, num_classes=7, **references.small)
    redraw(classifier)
    before, state = copied(model), classifier.state_dict()
    with caplog.at_level(logging.WARNING):
        report = load_weights(model, saved(classifier, "x.pth", "model_state"))
    rest = of_decoder(model)
    assert report.missing == rest and {"mask_token", "encoder_norm.weight"} < set(rest) and "missing: " in caplog.text
    assert report.loaded == sorted(before.keys() - rest)
    assert report.dropped == {"the classifier": [key for key in state if key.startswith(("norm.", "head."))]}
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key] if key in rest else state[key]), key


@pytest.mark.parametrize("kind", KINDS)
def test_backbone_and_classifier_leave_the_decoder_out(kind, ours, references, saved):
    source = ours(kind)
    path = saved(source, "x.pth", "model_state")
    variant = "hiera_base_16x224" if kind == "video" else "hiera_tiny_224"
    arguments = {"input_size": SIZE[kind], "q_pool": 2, **arguments_of(kind, references)}
    backbone = HieraBackbone(variant, **{**arguments, "layout": "released", "pos_embed": "resize"})
    classifier = Hiera(**arguments, num_classes=7)
    rest = [key for key in of_decoder(source) if not key.startswith("encoder_norm.")]
    for model, norm in (backbone, ["norm.bias", "norm.weight"]), (classifier, []):
        report = load_weights(model, path)
        assert sorted(report.dropped.pop("the decoder of MAE")) == rest
        assert sorted(report.dropped.pop("the classifier", [])) == norm and not report.dropped
        for key, value in model.state_dict().items():
            key = f"encoder_{key}" if key.startswith("norm.") else key
            assert key.startswith("head.") or torch.equal(value, source.state_dict()[key]), key
    assert report.missing == ["head.projection.bias", "head.projection.weight"]


# --- other sizes


@pytest.mark.parametrize(
    ("kind", "size", "how"),
    [
        ("small", (96, 128), "from 4 x 4 to 6 x 8"),
        ("video", (4, 96, 32), "from 2 x 4 x 4 to 2 x 6 x 2"),
        ("video", (8, 64, 64), "from 2 x 4 x 4 to 4 x 4 x 4"),
        ("video", (8, 32, 96), "from 2 x 4 x 4 to 4 x 2 x 6"),
        ("video", (16, 32, 32), "from 2 x 4 x 4 to 8 x 2 x 2"),  # as many tokens, elsewhere
    ],
)
def test_another_size_resizes_the_decoders_positions(kind, size, how, ours, saved, relative_error):
    """As the model resizes them that was built for the file's size."""
    source, model = ours(kind), ours(kind, input_size=size)
    report = load_weights(model, saved(source, "x.pth", "model_state"))
    assert report.resized.get("decoder_pos_embed") == how and report.loaded == sorted(model.state_dict())
    assert report.resized.keys() - {"decoder_pos_embed"} <= {"pos_embed", "pos_embed_spatial", "pos_embed_temporal"}
    x = inputs(*size)
    _, mask = random_mask(len(model(x)[3][0]))
    with torch.no_grad():
        assert relative_error(model(x, mask=mask)[1], source(x, mask=mask)[1]) < 1e-5


def test_positions_of_an_image_that_is_not_square_are_refused(ours, saved):
    """Their height and width cannot be told."""
    source = ours("small", input_size=(64, 96))
    with pytest.raises(ValueError, match=r"x\.pth: decoder_pos_embed of shape \(1, 24, 16\) is not of square frames"):
        load_weights(ours("small"), saved(source, "x.pth"))
    same = ours("small", input_size=(64, 96))
    assert load_weights(same, saved(source, "x.pth")).resized == {} and is_same(same.state_dict(), source.state_dict())


def test_an_images_decoder_is_none_of_clips(ours, saved):
    """The encoder is inflated; the decoder stays new, which the report says."""
    model = ours("video")
    before = copied(model)
    report = load_weights(model, saved(ours("small"), "x.pth"))
    assert "the decoder of MAE, which is not inflated" in report.dropped
    decoder = {name for name in before if name.startswith(("decoder", "mask_token", "multi_scale", "encoder_norm"))}
    assert decoder == set(report.missing)
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in decoder)
    with pytest.raises(ValueError, match="the weights are a video model's, the model is for images"):
        load_weights(ours("small"), saved(ours("video"), "y.pth"))


# --- to other packages and back


@pytest.fixture(scope="module")
def tiny(redraw, tmp_path_factory):
    """Hiera-T's masked autoencoder for 96 x 96 pixels with a small decoder, and its folder; nobody writes to them."""
    with torch.device("meta"):
        model = build_hiera("mae_hiera_tiny_224", input_size=(96, 96), **{**DECODER, "decoder_depth": 2}).eval()
    redraw(model)
    folder = tmp_path_factory.mktemp("tiny") / "in"
    model.save_pretrained(folder)
    return model, str(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_to_the_original(kind, ours, theirs, saved, tmp_path, relative_error, caplog):
    model, reference = ours(kind), theirs(kind)
    convert_checkpoint(saved(model, "in.pth"), tmp_path / "x.pth", "original")
    checkpoint = torch.load(tmp_path / "x.pth", weights_only=True)
    assert checkpoint.keys() == {"model_state"} and is_same(checkpoint["model_state"], model.state_dict())
    assert "left out" not in caplog.text and "no final norm" not in caplog.text
    reference.load_state_dict(checkpoint["model_state"], strict=True)
    _, mask = random_mask(8 if kind == "video" else 4)
    with torch.no_grad():
        expected, got = (each(inputs(*SIZE[kind]), mask=mask) for each in (reference, model))
    assert all(relative_error(a, b) < 1e-5 for a, b in zip(got[:3], expected[:3], strict=True))


def test_clips_are_for_the_original_and_detectron2_alone(ours, saved, tmp_path):
    path = saved(ours("video"), "in.pth")
    for to, name in ("timm", "x.pth"), ("transformers", "x"):
        with pytest.raises(ValueError, match=rf"in\.pth .*a video model's, of which {to} has none"):
            convert_checkpoint(path, tmp_path / name, to)


def test_to_transformers_and_back(tiny, references, on_meta, tmp_path, relative_error):
    transformers = pytest.importorskip("transformers")
    model, folder = tiny
    convert_checkpoint(folder, tmp_path / "x", "transformers")
    reference, report = transformers.HieraForPreTraining.from_pretrained(tmp_path / "x", output_loading_info=True)
    assert not any(report.values())
    assert transformers.AutoConfig.from_pretrained(tmp_path / "x").architectures == ["HieraForPreTraining"]
    arguments = {**references.variant("hiera_tiny_224"), "input_size": (96, 96), "decoder_depth": 2}
    with on_meta():
        original = references.mae(arguments).eval()
    original.load_state_dict(model.state_dict(), strict=True, assign=True)
    x, (noise, mask) = inputs(96, 96), random_mask(9)
    with torch.no_grad():
        out = reference.eval()(x, noise=noise)
        loss, pred, _, _ = model(x, mask=mask)
        expected_loss, expected, _, _ = original(x, mask=mask)
    logits = out.logits[~out.bool_masked_pos]
    assert relative_error(out.loss, expected_loss) < 1e-5 and relative_error(logits, expected) < 1e-5
    assert relative_error(out.loss, loss) < 1e-5 and relative_error(logits, pred) < 1e-5

    back = build_hiera("mae_hiera_tiny_224", input_size=(96, 96), **{**DECODER, "decoder_depth": 2})
    report = load_weights(back, str(tmp_path / "x"))
    assert report.file_format == "transformers" and report.loaded == sorted(back.state_dict())
    assert not (report.missing or report.unexpected or report.dropped or report.resized)
    assert is_same(back.state_dict(), model.state_dict())

    convert_checkpoint(str(tmp_path / "x"), tmp_path / "again", "transformers")  # the heads are in config.json
    config, again = (json.loads((tmp_path / name / "config.json").read_text()) for name in ("x", "again"))
    assert config == again and config["image_size"] == [96, 96]
    convert_checkpoint(str(tmp_path / "x"), tmp_path / "y.pth", "original")
    assert is_same(torch.load(tmp_path / "y.pth", weights_only=True)["model_state"], model.state_dict())


@pytest.mark.parametrize("form", ["folder", "file"])
def test_from_transformers(form, ours, references, saved, redraw, tmp_path, relative_error):
    decoder = {"decoder_hidden_size": 16, "decoder_depth": 1, "decoder_num_heads": 2, "num_query_pool": 2}
    reference = references.transformers(references.small, "HieraForPreTraining", **decoder).eval()
    redraw(reference)
    reference.save_pretrained(tmp_path / "x")
    model = ours("small")
    report = load_weights(model, str(tmp_path / "x") if form == "folder" else saved(reference, "x.pth"))
    assert report.loaded == sorted(model.state_dict()) and not (report.missing or report.dropped)
    x, (noise, mask) = inputs(64, 64), random_mask(4)
    with torch.no_grad():
        out, (loss, pred, _, _) = reference(x, noise=noise), model(x, mask=mask)
    assert relative_error(loss, out.loss) < 1e-5
    assert relative_error(pred, out.logits[~out.bool_masked_pos]) < 1e-5


@pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
def test_to_timm(name, ours, references, saved, tmp_path, caplog):
    model = ours("small")
    convert_checkpoint(saved(model, "in.pth"), tmp_path / name, "timm")
    assert f"left out: the decoder of MAE ({len(of_decoder(model)) - 2} tensors)" in caplog.text
    state = load_file(tmp_path / name) if name == "x.safetensors" else torch.load(tmp_path / name, weights_only=True)
    reference = references.timm({**references.small, "num_classes": 0})
    reference.load_state_dict(state, strict=True)
    assert torch.equal(reference.head.norm.weight, model.encoder_norm.weight)
    back = ours("small", drop_path_rate=0.1)
    report = load_weights(back, str(tmp_path / name))
    assert report.file_format == "timm" and report.missing == of_decoder(model)
    encoder = model.state_dict().keys() - of_decoder(model)
    assert all(torch.equal(back.state_dict()[key], model.state_dict()[key]) for key in encoder)


@pytest.mark.parametrize(("kind", "size"), [("small", (224, 224)), ("video", (4, 224, 224))])
def test_to_detectron2(kind, size, ours, references, saved, tmp_path, caplog, relative_error):
    model = ours(kind, input_size=size)
    convert_checkpoint(saved(model, "in.pth"), tmp_path / "x.pth", "detectron2")
    assert f"left out: the decoder of MAE ({len(of_decoder(model)) - 2} tensors)" in caplog.text
    assert "left out: the classifier (2 tensors)" in caplog.text
    state = torch.load(tmp_path / "x.pth", weights_only=True)["model"]
    encoder = model.state_dict().keys() - of_decoder(model)
    assert state.keys() == encoder | {"pos_embed_window"}
    variant = "hiera_base_16x224" if kind == "video" else "hiera_tiny_224"
    backbone = HieraBackbone(variant, **{**arguments_of(kind, references), "input_size": size}, global_blocks=())
    load_weights(backbone, str(tmp_path / "x.pth"))
    grid = (2, 56, 56)[3 - len(size) :]
    assert relative_error(backbone.position_embedding(grid), model.position_embedding(grid)) < 1e-6
    own = backbone.state_dict()
    assert all(torch.equal(own[key], model.state_dict()[key]) for key in encoder if "pos_embed" not in key)


# --- heads of the decoder, which no tensor tells


def heads_in(folder: Path) -> int:
    return json.loads((folder / "config.json").read_text())["decoder_num_heads"]


@pytest.fixture
def zeros(monkeypatch):
    """``zeros(**overrides)``: a state dict of Hiera-T's masked autoencoder; its folder takes no room."""
    monkeypatch.setattr("hiera_det.weights.convert.write_safetensors", lambda *_: None)

    def state(**overrides) -> dict[str, Tensor]:
        with torch.device("meta"):
            model = build_hiera("mae_hiera_tiny_224", **overrides)
        return {key: torch.zeros(value.shape, dtype=torch.float16) for key, value in model.state_dict().items()}

    return state


def test_heads_from_beside_the_weights(tiny, zeros, tmp_path):
    """From config.json, or from the config of a run of this package."""
    convert_checkpoint(tiny[1], tmp_path / "x", "transformers")
    assert heads_in(tmp_path / "x") == 2
    run = {"model": zeros(**DECODER), "config": {"MODEL": {"MAE": {"DECODER_NUM_HEADS": 4}}}}
    torch.save(run, tmp_path / "run.pth")
    convert_checkpoint(str(tmp_path / "run.pth"), tmp_path / "y", "transformers")
    assert heads_in(tmp_path / "y") == 4


@pytest.mark.parametrize("decoder", [DECODER, {"decoder_depth": 7}, {"decoder_embed_dim": 256}])
@pytest.mark.parametrize("beside", [{}, {"config": {"MODEL": {}}}])  # the second is of another task
def test_unknown_heads_are_refused(decoder, beside, zeros, tmp_path):
    torch.save({"model": zeros(**decoder), **beside}, tmp_path / "in.pth")
    message = (
        rf"in\.pth \(format original\): .* the attention heads of their decoder of {decoder.get('decoder_depth', 8)} bl"
    )
    with pytest.raises(ValueError, match=message):
        convert_checkpoint(str(tmp_path / "in.pth"), tmp_path / "x", "transformers")
    assert [p.name for p in tmp_path.iterdir()] == ["in.pth"]


def test_a_decoder_of_the_published_size_has_the_published_heads(zeros, saved, tmp_path):
    convert_checkpoint(saved(zeros(), "in.pth", "model_state"), tmp_path / "x", "transformers")
    assert heads_in(tmp_path / "x") == 16


# --- what other packages do not have


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": "hog"}, r"decoder_pred\.weight: \(108, 16\) in the file, expected \(768, 16\)"),
        ({"multi_scale": False}, r"missing: multi_scale_fusion_heads\.0\.weight"),
        ({"q_pool": 3}, r"multi_scale_fusion_heads\.2\.weight"),
    ],
)
@pytest.mark.parametrize("to", ["original", "transformers"])
def test_what_is_not_the_originals_is_refused(arguments, message, to, ours, saved, tmp_path):
    path = saved(ours("small", **arguments), "in.pth")
    with pytest.raises(ValueError, match=rf"(?s)in\.pth \(format original\): it is not Hiera .*{message}"):
        convert_checkpoint(path, tmp_path / ("x" if to == "transformers" else "x.pth"), to)
    assert [p.name for p in tmp_path.iterdir()] == ["in.pth"]


def test_an_incomplete_decoder_is_refused(ours, saved, tmp_path):
    for name in "encoder_norm.weight", "mask_token", "decoder_embed.weight":
        state = copied(ours("small"))
        del state[name]
        with pytest.raises(ValueError, match=name.replace("encoder_norm", "norm")):
            convert_checkpoint(saved(state, "in.pth"), tmp_path / "x.pth", "original")
    assert [p.name for p in tmp_path.iterdir()] == ["in.pth"]


def test_pixels_that_are_not_normalised_are_not_taken_for_normalised(tiny, redraw, tmp_path, relative_error):
    """Either the loss of transformers' model is the same, or there is no such folder."""
    transformers = pytest.importorskip("transformers")
    with torch.device("meta"):
        model = build_hiera("mae_hiera_tiny_224", input_size=(96, 96), normalize_target=False, **DECODER).eval()
    redraw(model)
    model.save_pretrained(tmp_path / "in")
    try:
        convert_checkpoint(str(tmp_path / "in"), tmp_path / "x", "transformers")
    except ValueError as error:
        assert "normalize_target" in str(error)
        return
    reference = transformers.HieraForPreTraining.from_pretrained(tmp_path / "x").eval()
    x, (noise, mask) = 2 * inputs(96, 96) + 1, random_mask(9)
    with torch.no_grad():
        assert relative_error(reference(x, noise=noise).loss, model(x, mask=mask)[0]) < 1e-5


def test_a_config_of_another_function_is_refused(tiny, tmp_path):
    convert_checkpoint(tiny[1], tmp_path / "x", "transformers")
    path = tmp_path / "x" / "config.json"
    config = json.loads(path.read_text())
    for change in {"num_query_pool": 3}, {"num_heads": [2, 4, 8, 16]}:
        path.write_text(json.dumps({**config, **change}))
        message = rf"(?s)not the published mae_hiera_tiny_224:\n  {next(iter(change))} is "
        with pytest.raises(ValueError, match=message):
            convert_checkpoint(str(tmp_path / "x"), tmp_path / "y.pth", "original")


# --- zoo and hub


@pytest.mark.parametrize("name", MAE_VARIANTS)
def test_zoo(name):
    (checkpoint,) = checkpoints_of(name)
    assert checkpoint == ("mae_k400" if "16x224" in name else "mae_in1k")
    assert ZOO[f"{name}.{checkpoint}"] == f"https://dl.fbaipublicfiles.com/hiera/{name}.pth"
    assert ZOO[f"{name}.{checkpoint}"] == ZOO[f"{name.removeprefix('mae_')}.{checkpoint}"]
    original = getattr(pytest.importorskip("hiera", reason="pip install hiera-transformer"), name)
    assert (original.default, original.checkpoints) == (checkpoint, {checkpoint: ZOO[f"{name}.{checkpoint}"]})


@pytest.fixture
def published(ours, torch_home):
    """Small weights where torch.hub's cache has the published file of mae_hiera_base_224: it is not downloaded."""
    model = ours("small")
    torch_home.mkdir(parents=True)
    torch.save({"model_state": model.state_dict()}, torch_home / "mae_hiera_base_224.pth")
    return model.state_dict()


def test_names_of_the_zoo(published, ours):
    model = ours("small")
    report = load_weights(model, "mae_hiera_base_224.mae_in1k")
    assert is_same(model.state_dict(), published) and report.licence == "CC-BY-NC-4.0"


@pytest.mark.parametrize("checkpoint", [None, "mae_in1k"])
def test_pretrained(published, references, checkpoint):
    arguments = {"input_size": (64, 64), **references.small, **DECODER}
    model = pretrained_hiera("mae_hiera_base_224", checkpoint, **arguments)
    assert type(model) is MaskedAutoencoderHiera and is_same(model.state_dict(), published)
    hub = {"source": "local", "pretrained": True, "checkpoint": checkpoint}
    model = torch.hub.load(CHECKOUT, "mae_hiera_base_224", **hub, **arguments)
    assert type(model) is MaskedAutoencoderHiera and is_same(model.state_dict(), published)
    with pytest.raises(ValueError, match=r"mae_hiera_base_224\.mae_in1k_ft_in1k; there are mae_in1k$"):
        pretrained_hiera("mae_hiera_base_224", "mae_in1k_ft_in1k", **arguments)


def test_hub_entries():
    hubconf = torch.hub._import_module("hubconf", f"{CHECKOUT}/hubconf.py")
    for name in VARIANTS:
        assert "the classifier" in getattr(hubconf, name).__doc__
        entry = getattr(hubconf, f"mae_{name}")
        data = "k400" if "16x224" in name else "in1k"
        assert "the masked autoencoder" in entry.__doc__ and "hiera_det.MaskedAutoencoderHiera" in entry.__doc__
        assert f"which of them: mae_{data}; None" in entry.__doc__ and entry.__name__ == f"mae_{name}"
    model = torch.hub.load(
        CHECKOUT, "mae_hiera_base_16x224", source="local", embed_dim=8, stages=(1, 1, 1, 1), decoder_depth=1
    )
    assert type(model) is MaskedAutoencoderHiera and len(model.patch_stride) == 3 and model.pools == 2
