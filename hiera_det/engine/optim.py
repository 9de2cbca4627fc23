"""Optimizer, learning rate schedule and gradient clipping from a config; for any model, under any backend.

Behaviour matched: ``detectron2/solver/build.py``, ``detectron2/solver/lr_scheduler.py`` and the layer decay of
``detectron2/modeling/backbone/vit.py``, with the differences that :func:`param_groups` names.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from typing import Any

import torch
from fvcore.common.config import CfgNode
from fvcore.common.param_scheduler import (
    CompositeParamScheduler,
    ConstantParamScheduler,
    CosineParamScheduler,
    LinearParamScheduler,
    MultiStepParamScheduler,
    ParamScheduler,
)
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

__all__ = ["build_lr_scheduler", "build_optimizer", "clip_gradients", "param_groups"]

logger = logging.getLogger(__name__)

NORM_CLASS = re.compile(r"Norm(\dd)?$")  # LayerNorm, GroupNorm, BatchNorm2d, and every backend's own ones by their name
BLOCK = re.compile(r"^backbone\..*\bblocks\.(\d+)\.")


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer that ``SOLVER.OPTIMIZER`` names, "SGD" or "ADAMW", over the parameters that require gradients.

    Build it once the model is on its device.

    Raises:
        ValueError: the name is another one, or nothing in the model requires gradients.
    """
    solver = cfg.SOLVER
    groups = param_groups(
        model,
        base_lr=solver.BASE_LR,
        weight_decay=solver.WEIGHT_DECAY,
        weight_decay_norm=solver.WEIGHT_DECAY_NORM,
        weight_decay_bias=solver.WEIGHT_DECAY_BIAS,
        bias_lr_factor=solver.BIAS_LR_FACTOR,
        layer_decay=cfg.MODEL.HIERA.LAYER_DECAY,
    )
    if not groups:
        raise ValueError(
            "no parameter of the model requires gradients: is everything frozen (MODEL.BACKBONE.FREEZE_AT)?"
        )
    # The fused step saves milliseconds on a CPU. On a GPU it would unscale gradients behind the clipping's back.
    on_cpu = all(parameter.device.type == "cpu" for group in groups for parameter in group["params"])
    options: dict[str, Any] = {
        "lr": solver.BASE_LR,
        "weight_decay": solver.WEIGHT_DECAY,
        "fused": on_cpu or None,
    }
    if solver.OPTIMIZER == "ADAMW":
        return torch.optim.AdamW(groups, betas=tuple(solver.BETAS), **options)
    if solver.OPTIMIZER == "SGD":
        return torch.optim.SGD(groups, momentum=solver.MOMENTUM, nesterov=solver.NESTEROV, **options)
    raise ValueError(f'SOLVER.OPTIMIZER is {solver.OPTIMIZER!r}; expected "SGD" or "ADAMW"')


def param_groups(
    model: nn.Module,
    *,
    base_lr: float,
    weight_decay: float,
    weight_decay_norm: float = 0.0,
    weight_decay_bias: float | None = None,
    bias_lr_factor: float = 1.0,
    layer_decay: float = 1.0,
) -> list[dict[str, Any]]:
    """Parameters that require gradients, in as few groups as there are pairs of learning rate and weight decay.

    What detectron2's ``get_default_optimizer_params`` does, with these differences: detectron2's own LayerNorm counts
    as a norm layer, which its list misses; position embeddings (``pos_embed*``, ``decoder_pos_embed``) get no weight
    decay; the factors of biases and layers are multiplied, where detectron2 would drop the latter.

    Args:
        model: a detector whose backbone is the attribute ``backbone``.
        base_lr: the learning rate.
        weight_decay: of weights.
        weight_decay_norm: of all norm layers.
        weight_decay_bias: of every parameter named ``bias``, those of norm layers included; None: as for the others.
        bias_lr_factor: of the learning rate of every parameter named ``bias``.
        layer_decay: multiplies the learning rate of block ``i`` of ``n`` by ``layer_decay ** (n - i)``, that of the
            patch and position embeddings by ``layer_decay ** (n + 1)``.

    Returns:
        Groups for a torch optimizer: ``{"params": [...], "lr": float, "weight_decay": float}``.

    Raises:
        ValueError: there is a layer decay, but there are no blocks.
    """
    lr_factor = _layer_decay(model, layer_decay)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    seen: set[nn.Parameter] = set()
    for module_name, module in model.named_modules():
        is_norm = NORM_CLASS.search(type(module).__name__) is not None
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad or parameter in seen:
                continue
            seen.add(parameter)
            lr = base_lr * lr_factor(f"{module_name}.{name}")
            decay = weight_decay_norm if is_norm else weight_decay
            if name == "bias":
                lr *= bias_lr_factor
                decay = decay if weight_decay_bias is None else weight_decay_bias
            elif name.startswith(("pos_embed", "decoder_pos_embed")):
                decay = 0.0
            groups.setdefault((lr, decay), []).append(parameter)
    return [{"params": params, "lr": lr, "weight_decay": decay} for (lr, decay), params in groups.items()]


def _layer_decay(model: nn.Module, decay: float) -> Callable[[str], float]:
    """Learning rate factor by parameter name; 1 outside the backbone and for what follows its last block."""
    indices = [int(match[1]) for name, _ in model.named_parameters() if (match := BLOCK.search(name))]
    num_blocks = max(indices, default=-1) + 1
    if decay != 1.0 and not num_blocks:
        raise ValueError(f"MODEL.HIERA.LAYER_DECAY is {decay}, but the model has no parameters backbone.*.blocks.*")

    def factor(name: str) -> float:
        if match := BLOCK.search(name):
            layer = int(match[1]) + 1
        elif name.startswith("backbone.") and (".patch_embed" in name or ".pos_embed" in name):
            layer = 0
        else:
            layer = num_blocks + 1
        return decay ** (num_blocks + 1 - layer)

    return factor


def build_lr_scheduler(cfg: CfgNode, optimizer: torch.optim.Optimizer) -> LambdaLR:
    """Warm-up, then "WarmupMultiStepLR", a drop by ``GAMMA`` at each of ``STEPS``, or "WarmupCosineLR", half a cosine
    down to ``BASE_LR_END``. Step it once an iteration.

    Raises:
        ValueError: ``LR_SCHEDULER_NAME``, ``WARMUP_METHOD`` or ``STEPS`` is not what is supported.
    """
    multiplier, iterations = _multiplier(cfg), cfg.SOLVER.MAX_ITER
    return LambdaLR(optimizer, lambda iteration: multiplier(min(iteration / iterations, 1.0)))


def _multiplier(cfg: CfgNode) -> ParamScheduler:
    solver = cfg.SOLVER
    if solver.MAX_ITER < 1:
        raise ValueError(f"SOLVER.MAX_ITER is {solver.MAX_ITER}; expected at least 1")
    if solver.LR_SCHEDULER_NAME == "WarmupMultiStepLR":
        schedule: ParamScheduler = _multi_step(cfg)
    elif solver.LR_SCHEDULER_NAME == "WarmupCosineLR":
        schedule = CosineParamScheduler(1.0, solver.BASE_LR_END / solver.BASE_LR if solver.BASE_LR else 0.0)
    else:
        raise ValueError(
            f"SOLVER.LR_SCHEDULER_NAME is {solver.LR_SCHEDULER_NAME!r};"
            ' expected "WarmupMultiStepLR" or "WarmupCosineLR"'
        )
    warmup_share = min(solver.WARMUP_ITERS / solver.MAX_ITER, 1.0)
    start = solver.WARMUP_FACTOR * schedule(0.0)
    warmup: ParamScheduler
    if solver.WARMUP_METHOD == "linear":
        warmup = LinearParamScheduler(start, schedule(warmup_share))
    elif solver.WARMUP_METHOD == "constant":
        warmup = ConstantParamScheduler(start)
    else:
        raise ValueError(f'SOLVER.WARMUP_METHOD is {solver.WARMUP_METHOD!r}; expected "linear" or "constant"')
    if warmup_share == 0.0:
        return schedule
    return CompositeParamScheduler([warmup, schedule], [warmup_share, 1 - warmup_share], ["rescaled", "fixed"])


def _multi_step(cfg: CfgNode) -> ParamScheduler:
    solver = cfg.SOLVER
    steps = [step for step in solver.STEPS if step < solver.MAX_ITER]
    if len(steps) < len(solver.STEPS):
        logger.warning(
            "SOLVER.STEPS %s: those from SOLVER.MAX_ITER = %d on have no effect",
            list(solver.STEPS),
            solver.MAX_ITER,
        )
    if steps != sorted(set(steps)) or (steps and steps[0] < 1):
        raise ValueError(f"SOLVER.STEPS is {list(solver.STEPS)}; expected positive iterations in ascending order")
    values = [solver.GAMMA**k for k in range(len(steps) + 1)]
    return MultiStepParamScheduler(values, milestones=steps, num_updates=solver.MAX_ITER)


def clip_gradients(cfg: CfgNode, parameters: Iterable[nn.Parameter]) -> None:
    """Clip gradients in place as ``SOLVER.CLIP_GRADIENTS`` says, if it is enabled.

    ``CLIP_TYPE`` "value" clips each element, "norm" the norm of each parameter's gradient, "full_model" the norm of
    all gradients together.

    Raises:
        ValueError: ``CLIP_TYPE`` is another one.
    """
    clip = cfg.SOLVER.CLIP_GRADIENTS
    if not clip.ENABLED:
        return
    if clip.CLIP_TYPE == "value":
        nn.utils.clip_grad_value_(parameters, clip.CLIP_VALUE)
    elif clip.CLIP_TYPE == "norm":
        for parameter in parameters:
            nn.utils.clip_grad_norm_(parameter, clip.CLIP_VALUE, clip.NORM_TYPE)
    elif clip.CLIP_TYPE == "full_model":
        nn.utils.clip_grad_norm_(parameters, clip.CLIP_VALUE, clip.NORM_TYPE)
    else:
        raise ValueError(
            f'SOLVER.CLIP_GRADIENTS.CLIP_TYPE is {clip.CLIP_TYPE!r}; expected "value", "norm" or "full_model"'
        )
