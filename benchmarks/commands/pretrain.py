"""Compare steps of a masked autoencoder's pretraining: mask, forward pass, loss, backward pass, optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.candidate import DTYPES, OURS, Candidate, Job, check_names
from benchmarks.cases import Case, combinations
from benchmarks.commands.backbone import check_inputs, random_input
from benchmarks.commands.train import LEARNING_RATE, update
from benchmarks.models.detectors import autocast
from benchmarks.rounds import Settings, run_case
from hiera_det.engine.optim import build_optimizer
from hiera_det.hiera.model import build_hiera
from hiera_det.hiera.tokens import Size
from hiera_det.hiera.variants import MAE_VARIANTS, variant_arguments
from hiera_det.pretraining.config import defaults

__all__ = ["compare_pretraining", "pretraining_candidates"]


def compare_pretraining(
    baselines: Sequence[str], axes: Mapping[str, Sequence[Any]], settings: Settings
) -> Iterator[Case]:
    """Time steps of pretraining on random images or clips, in every combination of the axes.

    All candidates start from the same weights and draw the same masks, new ones in each step, and have the optimizer of
    pretraining's default config, with the learning rate of :mod:`~.train`. With "bf16" all run under autocast.

    Args:
        baselines: names in `AUTOENCODERS`.
        axes: lists of values for each condition: ``variant``, ``size`` (side in pixels), ``frames`` (None for a
            variant's own), ``batch``, ``mask_ratio``, ``dtype``, ``threads``.
        settings: rounds, device and profile.

    Raises:
        ValueError: a name or value is unknown.
    """
    check_names("--vs", baselines, [name for name in AUTOENCODERS if name != "ours"])
    check_names("--variant", axes["variant"], MAE_VARIANTS)
    check_names("--dtype", axes["dtype"], DTYPES)
    check_inputs(axes)
    for case in combinations(axes):
        yield run_case(pretraining_candidates(["ours", *baselines], case, settings.device), case, settings)


def pretraining_candidates(names: Sequence[str], case: Mapping[str, Any], device: str) -> list[Candidate]:
    """Return the autoencoders of these names under the conditions of a case."""
    return [
        Candidate(name, AUTOENCODERS[name][0], "masked autoencoder", partial(_build, name, dict(case), device))
        for name in names
    ]


def _build(name: str, case: Mapping[str, Any], device: str) -> Job:
    x = random_input(case).to(device)
    _, build = AUTOENCODERS[name]
    model = build(case["variant"], tuple(x.shape[2:])).to(device).train()
    cfg = defaults()
    cfg.SOLVER.BASE_LR = LEARNING_RATE
    optimizer = build_optimizer(cfg, model)
    torch.manual_seed(1)  # of the masks; nothing else is drawn, as drop path is 0 in all of them

    def step() -> list[Tensor]:
        with autocast(device, case["dtype"]):
            loss, pred, _, _ = model(x, case["mask_ratio"])
        update(cfg, model, optimizer, loss)
        return [loss, pred]

    return Job(step, items=case["batch"], counted=step)


def _ours(variant: str, size: Size) -> nn.Module:
    torch.manual_seed(0)
    return build_hiera(variant, input_size=size)


def _original(variant: str, size: Size) -> nn.Module:
    import hiera

    # Not hiera.mae_hiera_base_16x224() and the like, which take no other size.
    arguments = {key: value for key, value in variant_arguments(variant).items() if key != "global_blocks"}
    model = hiera.MaskedAutoencoderHiera(**{**arguments, "input_size": size})
    model.load_state_dict(_ours(variant, size).state_dict())
    return model


# The package of each, and how to build it with the same weights, for inputs of a size (H, W) or (T, H, W).
AUTOENCODERS: dict[str, tuple[str, Callable[[str, Size], nn.Module]]] = {
    "ours": (OURS, _ours),
    "original": ("hiera-transformer", _original),
}
