"""Forward passes, and backward ones if wanted, of Hiera's implementations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.cases import Case, combinations
from benchmarks.contender import DTYPES, OURS, Contender, Job, check_names
from benchmarks.rounds import run_case
from benchmarks.trunks import TRUNKS
from hiera_det.hiera.tokens import Size
from hiera_det.hiera.variants import variant_arguments

__all__ = ["PASSES", "compare_backbones", "trunk_contenders"]

PASSES = ("forward", "forward+backward")


def compare_backbones(
    ours: Sequence[str],
    peers: Sequence[str],
    axes: Mapping[str, Sequence[Any]],
    *,
    device: str,
    rounds: int,
    profile: Path | None = None,
) -> Iterator[Case]:
    """Time trunks on random images or clips, in every combination of the axes.

    Args:
        ours: names of this package's trunks in `TRUNKS`.
        peers: names of the others.
        axes: lists of values for each condition: ``variant``, ``size`` (side in pixels), ``frames`` (None for a
            variant's own), ``batch``, ``dtype`` (weights and images), ``pass`` (one of `PASSES`), ``compile`` ("off",
            "on"), ``threads``.
        device: "cpu" or "cuda".
        rounds: counted turns of each trunk.
        profile: a folder for traces of ours; None: they are not profiled.

    Raises:
        ValueError: an unknown name or value.
    """
    check_names("--ours", ours, [name for name, trunk in TRUNKS.items() if trunk.package == OURS])
    check_names("--vs", peers, [name for name, trunk in TRUNKS.items() if trunk.package != OURS])
    _check_axes(axes)
    for case in combinations(axes):
        yield run_case(
            trunk_contenders([*ours, *peers], case, device),
            case,
            device=device,
            threads=case["threads"],
            rounds=rounds,
            product_dtype=case["dtype"],
            profile=profile,
        )


def trunk_contenders(names: Sequence[str], case: Mapping[str, Any], device: str) -> list[Contender]:
    """The trunks of these names under the conditions of a case."""
    return [
        Contender(name, TRUNKS[name].package, TRUNKS[name].function, partial(_build, name, dict(case), device))
        for name in names
    ]


def _check_axes(axes: Mapping[str, Sequence[Any]]) -> None:
    for flag, known in (("dtype", DTYPES), ("pass", PASSES), ("compile", ("off", "on"))):
        if unknown := set(axes[flag]) - set(known):
            raise ValueError(f"--{flag} {','.join(sorted(unknown))}: expected some of {', '.join(known)}")
    if min(axes["size"]) < 32:
        raise ValueError(f"--sizes {min(axes['size'])}: images of at least 32 pixels a side are expected")
    for variant in axes["variant"]:
        if "input_size" not in variant_arguments(variant) and any(axes["frames"]):
            raise ValueError(f"--frames: {variant} takes images; a video variant is hiera_base_16x224, for example")


def _input_size(case: Mapping[str, Any]) -> Size:
    """(H, W), or (T, H, W) of a video variant."""
    sides = (case["size"], case["size"])
    own = variant_arguments(case["variant"]).get("input_size")
    return sides if own is None else (case["frames"] or own[0], *sides)


def _build(name: str, case: Mapping[str, Any], device: str) -> Job:
    size, dtype, backward = _input_size(case), DTYPES[case["dtype"]], case["pass"] == "forward+backward"
    model, maps_of = TRUNKS[name].build(case["variant"], size)
    model.to(device, dtype).train(backward)  # drop path is 0 in all of them
    x = torch.randn(case["batch"], 3, *size, generator=torch.Generator().manual_seed(1)).to(device, dtype)

    def step(forward: Any) -> Sequence[Tensor]:
        with torch.set_grad_enabled(backward):
            maps = forward(x)
            if backward:
                model.zero_grad(set_to_none=True)
                torch.stack([m.float().square().sum() for m in maps]).sum().backward()
        return maps

    eager = partial(step, maps_of)
    run = partial(step, torch.compile(maps_of)) if case["compile"] == "on" else eager
    return Job(run, items=case["batch"], counted=eager)
