"""Optimizers, clipping and schedules on detectron2: the other backend's, and detectron2's own."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip(
    "detectron2",
    reason="needs detectron2: https://detectron2.readthedocs.io/en/latest/tutorials/install.html",
)
from detectron2.modeling import build_model
from detectron2.solver import build_lr_scheduler as build_detectron2s_lr_scheduler

from hiera_det.config import load_config
from hiera_det.detectron2.default_trainer import Trainer
from hiera_det.engine.optim import build_lr_scheduler, build_optimizer


def test_optimizer_is_the_other_backends(config, configs, small):
    """The same groups; LayerNorms of detectron2's, which its own builder does not know, get the norms' weight decay."""
    from hiera_det.detection.model.detector import build_model as build_ours
    from hiera_det.detection.model.detectron2_names import to_detectron2

    decays = ["MODEL.HIERA.LAYER_DECAY", "0.5", "SOLVER.WEIGHT_DECAY_NORM", "0.01"]
    cfg = config("base_rcnn_fpn", *decays)
    theirs = build_model(cfg)
    words = [word for pair in small.items() for word in pair]
    ours = build_ours(load_config(configs / "base_rcnn_fpn.yaml", [*words, *decays]))
    options = []
    for model, rename in ((theirs, dict), (ours, to_detectron2)):
        parameters = dict(model.named_parameters())
        names = {id(parameter): name for name, parameter in zip(rename(parameters), parameters.values(), strict=True)}
        groups = build_optimizer(cfg, model).param_groups
        options.append({names[id(p)]: (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]})
    found, expected = options
    assert found == expected
    assert found["backbone.fpn_lateral2.norm.weight"][1] == 0.01
    assert found["backbone.bottom_up.blocks.0.attn.qkv.weight"] == (cfg.SOLVER.BASE_LR * 0.5**4, 0.1)


@pytest.mark.parametrize("kind", ["value", "norm", "full_model"])
def test_gradients_are_clipped(config, kind):
    clip = ["SOLVER.CLIP_GRADIENTS.ENABLED", "True", "SOLVER.CLIP_GRADIENTS.CLIP_TYPE", kind]
    cfg = config("quickstart", *clip, "SOLVER.CLIP_GRADIENTS.CLIP_VALUE", "0.01")
    model = build_model(cfg)
    optimizer = Trainer.build_optimizer(cfg, model)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    gradients = [parameter.grad for parameter in model.parameters()]
    norms = torch.stack([gradient.norm() for gradient in gradients])
    largest = {"value": max(g.max() for g in gradients), "norm": norms.max(), "full_model": norms.norm()}
    assert float(largest[kind]) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("name", ["WarmupMultiStepLR", "WarmupCosineLR"])
def test_learning_rates_are_detectron2s(config, name):
    words = ["SOLVER.LR_SCHEDULER_NAME", name, "SOLVER.MAX_ITER", "40", "SOLVER.STEPS", "(20, 30)"]
    cfg = config("quickstart", *words, "SOLVER.WARMUP_ITERS", "7", "SOLVER.BASE_LR_END", "0.00001")
    rates = []
    for build in (build_lr_scheduler, build_detectron2s_lr_scheduler):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=cfg.SOLVER.BASE_LR)
        scheduler = build(cfg, optimizer)
        rates.append([])
        for _ in range(40):
            rates[-1].append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
    assert rates[0] == pytest.approx(rates[1], rel=1e-9)
