"""Parameters and multiply-adds of a detector, by part; nothing is computed, only counted (device "meta").

What is counted: convolutions, linear layers, and both matrix products of attention, padding included. Not counted:
norms, activations, RoIAlign, NMS, pasting. The box head sees the proposals that are kept at test time
(`MODEL.RPN.POST_NMS_TOPK_TEST`), the mask head as many boxes as there may be detections
(`TEST.DETECTIONS_PER_IMAGE`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from hiera_det.config import CfgNode
from hiera_det.detection.model.detector import build_model

__all__ = ["Part", "count_complexity", "format_complexity"]


class Part(NamedTuple):
    """A part of the detector: its name, parameters and multiply-adds for one image."""

    name: str
    parameters: int
    multiply_adds: int


def count_complexity(cfg: CfgNode, size: int) -> list[Part]:
    """Count a detector's parts for one image of `size` x `size` pixels; the last part is the sum.

    Raises:
        ValueError: the config asks for something that this backend does not do.
    """
    with torch.device("meta"):
        model = build_model(cfg).eval()
        image = torch.zeros(1, len(cfg.MODEL.PIXEL_MEAN), size, size)
    pyramid, roi = model.backbone, model.roi_heads
    maps = pyramid.bottom_up(image)
    levels = pyramid(image)

    def roi_features(count: int, node: CfgNode) -> Tensor:
        return torch.zeros(count, pyramid.out_channels, *(node.POOLER_RESOLUTION,) * 2, device="meta")

    proposals = roi_features(cfg.MODEL.RPN.POST_NMS_TOPK_TEST, cfg.MODEL.ROI_BOX_HEAD)
    parts = [
        _part("backbone", [pyramid.bottom_up], lambda: pyramid.bottom_up(image)),
        _part("pyramid", [pyramid.fpn], lambda: pyramid.fpn({name: maps[name] for name in pyramid.in_features})),
        _part("RPN head", [model.rpn], lambda: model.rpn.head([levels[name] for name in model.rpn.in_features])),
        _part(
            f"box head, {len(proposals)} proposals",
            [roi.box_head, roi.box_predictor],
            lambda: [predict(head(proposals)) for head, predict in zip(roi.box_head, roi.box_predictor, strict=True)],
        ),
    ]
    if cfg.MODEL.MASK_ON:
        detections = roi_features(cfg.TEST.DETECTIONS_PER_IMAGE, cfg.MODEL.ROI_MASK_HEAD)
        parts.append(
            _part(
                f"mask head, {len(detections)} detections",
                [roi.mask_head, roi.mask_predictor],
                lambda: roi.mask_predictor(roi.mask_head(detections)),
            )
        )
    total = sum(p.numel() for p in model.parameters())
    return [*parts, Part("all", total, sum(part.multiply_adds for part in parts))]


def _part(name: str, modules: list[torch.nn.Module], run: Callable[[], Any]) -> Part:
    parameters = sum(p.numel() for module in modules for p in module.parameters())
    # The unfused path is counted: it shows both products as what they are.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return Part(name, parameters, counter.get_total_flops() // 2)


def format_complexity(parts: list[Part]) -> str:
    """A table: parameters in millions, multiply-adds in billions (G)."""
    width = max(len(part.name) for part in parts)
    lines = [f"{'part'.ljust(width)}  params (M)  multiply-adds (G)"]
    lines += [f"{p.name.ljust(width)}  {p.parameters / 1e6:10.1f}  {p.multiply_adds / 1e9:17.1f}" for p in parts]
    return "\n".join(lines)
