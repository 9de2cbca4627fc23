"""Parameter groups, schedule and clipping; the schedule's values were computed by detectron2 0.6 (02b5c4e2)."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hiera_det.config import get_cfg
from hiera_det.engine.optim import build_lr_scheduler, build_optimizer, clip_gradients


class LayerNorm(nn.Module):
    """Over channels, like detectron2's: no subclass of torch's."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(2)), nn.Parameter(torch.zeros(2))


class Backbone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = nn.Linear(2, 2)
        self.pos_embed = nn.Parameter(torch.ones(1, 2))
        self.pos_embed_window = nn.Parameter(torch.ones(1, 2))
        self.blocks = nn.ModuleList(nn.ModuleDict({"norm": nn.LayerNorm(2), "proj": nn.Linear(2, 2)}) for _ in range(3))


class Pyramid(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bottom_up = Backbone()
        self.fpn_lateral2 = nn.Conv2d(2, 2, 1)
        self.norm = LayerNorm()


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = Pyramid()
        self.head = nn.Linear(2, 2)
        self.tied = self.head  # the same parameters under a second name
        self.blocks = nn.ModuleList([nn.Linear(2, 2)])  # no backbone's


@pytest.fixture
def cfg():
    cfg = get_cfg()
    cfg.SOLVER.BASE_LR = 0.1
    cfg.SOLVER.WEIGHT_DECAY = 0.05
    cfg.SOLVER.WEIGHT_DECAY_NORM = 0.01
    return cfg


def options(cfg, model) -> dict[str, tuple[float, float]]:
    """Learning rate and weight decay by parameter name."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = build_optimizer(cfg, model).param_groups
    assert sum(len(group["params"]) for group in groups) == len(names)  # each parameter once
    return {names[id(p)]: (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}


def test_weight_decay(cfg):
    found = options(cfg, Model())
    assert found["head.weight"] == found["head.bias"] == (0.1, 0.05)
    assert found["backbone.bottom_up.blocks.1.norm.weight"] == (0.1, 0.01)
    assert found["backbone.norm.weight"] == found["backbone.norm.bias"] == (0.1, 0.01)
    assert found["backbone.bottom_up.pos_embed"] == found["backbone.bottom_up.pos_embed_window"] == (0.1, 0.0)
    assert len(build_optimizer(cfg, Model()).param_groups) == 3


def test_biases(cfg):
    cfg.SOLVER.BIAS_LR_FACTOR = 2.0
    cfg.SOLVER.WEIGHT_DECAY_BIAS = 0.0
    found = options(cfg, Model())
    assert found["head.weight"] == (0.1, 0.05)
    assert found["head.bias"] == found["backbone.norm.bias"] == (0.2, 0.0)


def test_layer_decay(cfg):
    cfg.MODEL.HIERA.LAYER_DECAY = 0.5
    rates = {name: lr / 0.1 for name, (lr, _) in options(cfg, Model()).items()}
    below = "backbone.bottom_up."
    assert rates[below + "patch_embed.weight"] == rates[below + "pos_embed"] == pytest.approx(0.5**4)
    assert rates[below + "blocks.0.proj.weight"] == pytest.approx(0.5**3)
    assert rates[below + "blocks.2.norm.bias"] == pytest.approx(0.5)
    assert rates["backbone.fpn_lateral2.weight"] == rates["head.weight"] == rates["blocks.0.weight"] == 1


def test_layer_decay_needs_blocks(cfg):
    cfg.MODEL.HIERA.LAYER_DECAY = 0.5
    with pytest.raises(ValueError, match=r"LAYER_DECAY is 0\.5"):
        build_optimizer(cfg, nn.Linear(2, 2))


def test_frozen_parameters_are_left_out(cfg):
    model = Model()
    model.backbone.requires_grad_(False)
    assert {p for group in build_optimizer(cfg, model).param_groups for p in group["params"]} == {
        *model.head.parameters(),
        *model.blocks.parameters(),
    }
    with pytest.raises(ValueError, match="frozen"):
        build_optimizer(cfg, model.requires_grad_(False))


def test_optimizers(cfg):
    cfg.SOLVER.NESTEROV = True
    sgd = build_optimizer(cfg, Model())
    assert isinstance(sgd, torch.optim.SGD)
    assert sgd.defaults["momentum"] == 0.9
    assert sgd.defaults["nesterov"]
    cfg.SOLVER.OPTIMIZER = "ADAMW"
    adamw = build_optimizer(cfg, Model())
    assert isinstance(adamw, torch.optim.AdamW)
    assert adamw.defaults["betas"] == (0.9, 0.999)
    cfg.SOLVER.OPTIMIZER = "LION"
    with pytest.raises(ValueError, match="LION"):
        build_optimizer(cfg, Model())


# MAX_ITER, STEPS, WARMUP_ITERS, WARMUP_METHOD; learning rates by iteration at BASE_LR 0.01, WARMUP_FACTOR 0.001
SCHEDULES = [
    (24, (12, 20), 6, "linear", {0: 1e-05, 2: 0.00334, 4: 0.00667, 6: 0.01, 11: 0.01, 12: 0.001, 20: 0.0001}),
    (24, (12, 20), 6, "constant", {0: 1e-05, 5: 1e-05, 6: 0.01, 12: 0.001, 23: 0.0001}),
    # The warm-up ends behind the first step: it aims at the value there.
    (24, (4, 20), 6, "linear", {0: 1e-05, 2: 0.00034, 4: 0.00067, 6: 0.001, 20: 0.0001}),
    # It does not end at all: it aims at the value after the last iteration.
    (24, (12,), 40, "linear", {0: 1e-05, 2: 9.25e-05, 12: 0.000505, 22: 0.0009175}),
    (10, (5,), 0, "linear", {0: 0.01, 4: 0.01, 5: 0.001}),
    (30, (20, 40), 10, "linear", {0: 1e-05, 2: 0.002008, 8: 0.008002, 20: 0.001, 29: 0.001}),
]


@pytest.mark.parametrize(("iterations", "steps", "warmup", "method", "expected"), SCHEDULES)
def test_schedule(cfg, iterations, steps, warmup, method, expected):
    solver = cfg.SOLVER
    solver.BASE_LR, solver.MAX_ITER, solver.STEPS = 0.01, iterations, steps
    solver.WARMUP_ITERS, solver.WARMUP_METHOD = warmup, method
    optimizer = torch.optim.SGD([{"params": [nn.Parameter(torch.ones(1))]}], lr=0.01)
    scheduler = build_lr_scheduler(cfg, optimizer)
    rates = []
    for _ in range(iterations):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert {i: rates[i] for i in expected} == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("LR_SCHEDULER_NAME", "WarmupStepWithFixedGammaLR"),
        ("WARMUP_METHOD", "burnin"),
        ("STEPS", (9, 5)),
        ("STEPS", (0,)),
        ("MAX_ITER", 0),
    ],
)
def test_bad_schedule(cfg, key, value):
    cfg.SOLVER.MAX_ITER = 10
    cfg.SOLVER[key] = value
    with pytest.raises(ValueError, match=key):
        build_lr_scheduler(cfg, torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("value", [[1.0, -1.0], [0.5, 0.0]]),
        ("norm", [[0.6, -0.8], [0.5, 0.0]]),
        ("full_model", [[3 / 25.25**0.5, -4 / 25.25**0.5], [0.5 / 25.25**0.5, 0.0]]),
    ],
)
def test_clipping(cfg, kind, expected):
    parameters = [nn.Parameter(torch.zeros(2)) for _ in range(2)]
    gradients = [[3.0, -4.0], [0.5, 0.0]]

    def clipped() -> list[list[float]]:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = torch.tensor(gradient)
        clip_gradients(cfg, iter(parameters))
        return [parameter.grad.tolist() for parameter in parameters]

    cfg.SOLVER.CLIP_GRADIENTS.CLIP_TYPE = kind
    assert clipped() == gradients  # not enabled
    cfg.SOLVER.CLIP_GRADIENTS.ENABLED = True
    for found, wanted in zip(clipped(), expected, strict=True):
        assert found == pytest.approx(wanted, rel=1e-5)


def test_unknown_clipping(cfg):
    cfg.SOLVER.CLIP_GRADIENTS.ENABLED = True
    cfg.SOLVER.CLIP_GRADIENTS.CLIP_TYPE = "percentile"
    with pytest.raises(ValueError, match="percentile"):
        clip_gradients(cfg, [])
