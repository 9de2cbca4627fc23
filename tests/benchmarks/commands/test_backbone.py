"""Backbones are compared like with like: those of one function give the same maps, for as many operations."""

from __future__ import annotations

from functools import cache

import pytest

from benchmarks.commands.backbone import backbone_candidates, compare_backbones
from benchmarks.flops import count_flops
from benchmarks.models.backbones import BACKBONES
from benchmarks.rounds import Settings

CASE = {
    "variant": "hiera_tiny_224",
    "size": 64,
    "frames": None,
    "batch": 2,
    "dtype": "fp32",
    "pass": "forward",
    "compile": "off",
    "threads": 1,
}
VIDEO = {"variant": "hiera_base_16x224", "frames": 4, "batch": 1}
BASELINES = {"original": "hiera", "timm": "timm", "transformers": "transformers", "sam2": "timm"}


@cache
def job(name, **changes):
    (candidate,) = backbone_candidates([name], {**CASE, **changes}, "cpu")
    return candidate.build()


@pytest.mark.parametrize("baseline", BASELINES)
def test_baselines_compute_the_same_function_in_as_many_operations(baseline):
    pytest.importorskip(BASELINES[baseline])
    own = "windowed-sam2" if baseline == "sam2" else "released"
    assert BACKBONES[own].function == BACKBONES[baseline].function
    ours, theirs = job(own), job(baseline)
    assert ours.items == theirs.items == 2
    for a, b in zip(ours.step(), theirs.step(), strict=True):
        assert a.shape == b.shape and a.shape[0] == 2
        assert (a - b).abs().max() < 1e-4 * a.abs().max()
    if baseline != "sam2":  # at 64 pixels most of its windows are padding, which it multiplies as well
        # The original also runs its classifier.
        assert count_flops(theirs.counted) == pytest.approx(count_flops(ours.counted), rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "strides"), [("detectron2-vitdet", [16]), ("torchvision-resnet50", [4, 8, 16, 32])])
def test_other_backbones(name, strides):
    pytest.importorskip(BACKBONES[name].package)
    both = job(name, **{"pass": "forward+backward"})
    maps = both.step()
    assert [64 // m.shape[-1] for m in maps] == strides
    assert all(m.shape[0] == 2 and m.requires_grad for m in maps)
    assert count_flops(both.counted) == pytest.approx(3 * count_flops(job(name).counted), rel=0.05)


def test_video():
    pytest.importorskip("hiera")
    ours, theirs = job("released", **VIDEO), job("original", **VIDEO)
    for a, b in zip(ours.step(), theirs.step(), strict=True):
        assert a.shape == b.shape and a.ndim == 5 and a.shape[2] == 2  # 4 frames in pairs
        assert (a - b).abs().max() < 1e-4 * a.abs().max()


@pytest.mark.parametrize("baseline", ["timm", "transformers", "sam2", "detectron2-vitdet", "torchvision-resnet50"])
def test_others_have_no_video(baseline):
    pytest.importorskip(BACKBONES[baseline].package)
    with pytest.raises(ValueError, match="it has no video"):
        job(baseline, **VIDEO)


def test_backward_pass():
    forward, both = job("windowed-sam2"), job("windowed-sam2", **{"pass": "forward+backward"})
    assert not forward.step()[0].requires_grad and both.step()[0].requires_grad
    assert count_flops(both.counted) == pytest.approx(3 * count_flops(forward.counted), rel=0.01)


def test_compiled_is_run_and_plain_is_counted():
    compiled, plain = job("released", compile="on"), job("released")
    assert compiled.step is not compiled.counted and plain.step is plain.counted
    assert count_flops(compiled.counted) == count_flops(plain.counted) > 0


@pytest.mark.parametrize(
    ("ours", "baselines", "changes", "message"),
    [
        (["released"], ["swin"], {}, "--vs swin: expected some of original, timm"),
        (["timm"], [], {}, "--ours timm: expected some of released, windowed, windowed-sam2"),
        (["released"], [], {"dtype": ["fp8"]}, "--dtype fp8: expected some of fp32"),
        (["released"], [], {"pass": ["backward"]}, "--pass backward: expected some of forward"),
        (["released"], [], {"compile": ["yes"]}, "--compile yes: expected some of off, on"),
        (["released"], [], {"size": [224, 16]}, "--sizes 16: expected at least 32"),
        (["released"], [], {"frames": [4]}, "--frames: hiera_tiny_224 takes images"),
        (["released"], [], {"variant": ["vit"]}, "no Hiera variant is called 'vit'"),
    ],
)
def test_what_is_refused(ours, baselines, changes, message):
    axes = {**{name: [value] for name, value in CASE.items()}, **changes}
    with pytest.raises(ValueError, match=message):
        next(compare_backbones(ours, baselines, axes, Settings()))
