"""Compare backbones: forward passes, and backward ones if wanted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.candidate import DTYPES, OURS, Candidate, Job, check_names
from benchmarks.cases import Case, combinations
from benchmarks.models.backbones import BACKBONES
from benchmarks.rounds import Settings, run_case
from hiera_det.hiera.variants import is_video, variant_arguments

__all__ = ["backbone_candidates", "check_inputs", "compare_backbones", "random_input"]


def compare_backbones(
    ours: Sequence[str], baselines: Sequence[str], axes: Mapping[str, Sequence[Any]], settings: Settings
) -> Iterator[Case]:
    """Time backbones on random images or clips, in every combination of the axes.

    Args:
        ours: names of this package's backbones in `BACKBONES`.
        baselines: names of the others there.
        axes: lists of values for each condition: ``variant``, ``size`` (side in pixels), ``frames`` (None for a
            variant's own), ``batch``, ``dtype`` (of weights and images), ``pass`` ("forward", "forward+backward"),
            ``compile`` ("off", "on"), ``threads``.
        settings: rounds, device and profile.

    Raises:
        ValueError: a name or value is unknown.
    """
    check_names("--ours", ours, [name for name, backbone in BACKBONES.items() if backbone.package == OURS])
    check_names("--vs", baselines, [name for name, backbone in BACKBONES.items() if backbone.package != OURS])
    check_names("--dtype", axes["dtype"], DTYPES)
    check_names("--pass", axes["pass"], ["forward", "forward+backward"])
    check_names("--compile", axes["compile"], ["off", "on"])
    check_inputs(axes)
    for case in combinations(axes):
        yield run_case(backbone_candidates([*ours, *baselines], case, settings.device), case, settings)


def backbone_candidates(names: Sequence[str], case: Mapping[str, Any], device: str) -> list[Candidate]:
    """Return the backbones of these names under the conditions of a case."""
    return [
        Candidate(name, BACKBONES[name].package, BACKBONES[name].function, partial(_build, name, dict(case), device))
        for name in names
    ]


def check_inputs(axes: Mapping[str, Sequence[Any]]) -> None:
    """Check that all variants take inputs of the sizes and frames of the axes.

    Raises:
        ValueError: one does not, or is unknown.
    """
    if min(axes["size"]) < 32:
        raise ValueError(f"--sizes {min(axes['size'])}: expected at least 32 pixels a side")
    for variant in axes["variant"]:
        if not is_video(variant) and any(axes["frames"]):
            raise ValueError(f"--frames: {variant} takes images; video variants end in 16x224")


def random_input(case: Mapping[str, Any]) -> Tensor:
    """Return random images (B, 3, H, W), or clips (B, 3, T, H, W) for a video variant, the same in every call."""
    sides = (case["size"], case["size"])
    own = variant_arguments(case["variant"]).get("input_size")
    size = sides if own is None else (case["frames"] or own[0], *sides)
    return torch.randn(case["batch"], 3, *size, generator=torch.Generator().manual_seed(1))


def _build(name: str, case: Mapping[str, Any], device: str) -> Job:
    if is_video(case["variant"]) and not BACKBONES[name].video:
        raise ValueError("it has no video")
    dtype, backward = DTYPES[case["dtype"]], case["pass"] == "forward+backward"
    x = random_input(case).to(device, dtype)
    model, forward = BACKBONES[name].build(case["variant"], tuple(x.shape[2:]))
    model.to(device, dtype).train(backward)  # drop path is 0 in all of them

    def step(forward: Any) -> Sequence[Tensor]:
        with torch.set_grad_enabled(backward):
            maps = forward(x)
            if backward:
                model.zero_grad(set_to_none=True)
                torch.stack([m.float().square().sum() for m in maps]).sum().backward()
        return maps

    eager = partial(step, forward)
    compiled = partial(step, torch.compile(forward)) if case["compile"] == "on" else eager
    return Job(compiled, items=case["batch"], counted=eager)
