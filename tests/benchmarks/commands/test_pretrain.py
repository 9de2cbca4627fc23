"""Steps of pretraining: both autoencoders see the same pixels, have the same gradients and update all weights."""

from __future__ import annotations

import pytest
import torch

from benchmarks.commands import pretrain
from benchmarks.commands.pretrain import compare_pretraining, pretraining_candidates
from benchmarks.flops import count_flops
from benchmarks.rounds import Settings
from hiera_det.hiera.variants import MAE_VARIANTS

TINY = {"embed_dim": 8, "stages": (1, 1, 1, 1), "decoder_embed_dim": 32, "decoder_depth": 1, "decoder_num_heads": 2}
CASE = {
    "variant": "mae_hiera_tiny_224",
    "size": 64,
    "frames": None,
    "batch": 2,
    "mask_ratio": 0.6,
    "dtype": "fp32",
    "threads": 1,
}
VIDEO = {"variant": "mae_hiera_base_16x224", "frames": 4, "mask_ratio": 0.75}


@pytest.fixture
def two_steps(monkeypatch):
    """Builds a candidate in miniature; its job, the outputs of two steps, and its named parameters and optimizer."""
    made = []

    def recorded(cfg, model):
        made.append((dict(model.named_parameters()), build_optimizer(cfg, model)))
        assert model.training
        return made[-1][1]

    build_optimizer = pretrain.build_optimizer
    monkeypatch.setattr(pretrain, "build_optimizer", recorded)
    for name in "mae_hiera_tiny_224", "mae_hiera_base_16x224":
        monkeypatch.setitem(MAE_VARIANTS, name, {**MAE_VARIANTS[name], **TINY})

    def run(name, **changes):
        (candidate,) = pretraining_candidates([name], {**CASE, **changes}, "cpu")
        job = candidate.build()
        return job, [job.step(), job.step()], *made[-1]

    return run


# Of 4 mask units of an image 1 is kept, of 8 of a clip 2; a unit has 4 tokens, each of 16 x 16 pixels.
@pytest.mark.parametrize(("changes", "dropped"), [({}, 3 * 4), (VIDEO, 6 * 4)], ids=["image", "video"])
def test_the_original_takes_the_same_steps(two_steps, relative_error, changes, dropped):
    pytest.importorskip("hiera")
    our_job, our_steps, our_parameters, our_optimizer = two_steps("ours", **changes)
    their_job, their_steps, their_parameters, their_optimizer = two_steps("original", **changes)
    assert our_job.items == their_job.items == 2
    for ours, theirs in zip(our_steps, their_steps, strict=True):
        assert ours[1].shape == (2 * dropped, 3 * 16 * 16)
        for a, b in zip(ours, theirs, strict=True):
            assert relative_error(a, b) < 1e-4
    assert (our_steps[0][1] - our_steps[1][1]).abs().max() > 1e-3  # of another mask
    assert our_parameters.keys() == their_parameters.keys()
    for name, parameter in our_parameters.items():
        ours, theirs = our_optimizer.state[parameter], their_optimizer.state[their_parameters[name]]
        assert ours["step"] == theirs["step"] == 2
        assert ours["exp_avg"].abs().max() > 0 and parameter.grad is their_parameters[name].grad is None
        # Biases of keys have no gradient but rounding.
        assert torch.allclose(ours["exp_avg"], theirs["exp_avg"], rtol=1e-3, atol=1e-3 * theirs["exp_avg"].abs().max())


def test_optimizers_are_alike(two_steps):
    pytest.importorskip("hiera")
    groups = [
        [{**group, "params": len(group["params"])} for group in two_steps(name)[3].param_groups]
        for name in ("ours", "original")
    ]
    assert groups[0] == groups[1]
    assert {group["weight_decay"] for group in groups[0]} == {0.0, 0.05} and groups[0][0]["betas"] == (0.9, 0.95)


def test_operations_are_of_forward_and_backward_pass(two_steps):
    pytest.importorskip("hiera")
    both = {name: count_flops(two_steps(name)[0].counted) for name in pretrain.AUTOENCODERS}
    for name, (_, build) in pretrain.AUTOENCODERS.items():
        model, x = build(CASE["variant"], (64, 64)), torch.randn(2, 3, 64, 64)
        forward = count_flops(lambda model=model, x=x: model(x, CASE["mask_ratio"]))
        assert both[name] == pytest.approx(3 * forward, rel=0.1)  # pixels have no gradient
    assert 0.5 < both["ours"] / both["original"] <= 1  # it also predicts what the encoder saw


@pytest.mark.parametrize(
    ("baselines", "changes", "message"),
    [
        (["timm"], {}, "--vs timm: expected some of original"),
        ([], {"variant": ["hiera_tiny_224"]}, "--variant hiera_tiny_224: expected some of mae_hiera_tiny_224"),
        ([], {"dtype": ["fp8"]}, "--dtype fp8: expected some of fp32"),
        ([], {"size": [224, 16]}, "--sizes 16: expected at least 32"),
        ([], {"frames": [4]}, "--frames: mae_hiera_tiny_224 takes images"),
    ],
)
def test_what_is_refused(baselines, changes, message):
    axes = {**{name: [value] for name, value in CASE.items()}, **changes}
    with pytest.raises(ValueError, match=message):
        next(compare_pretraining(baselines, axes, Settings()))
