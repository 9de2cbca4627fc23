"""Anchors at fixed strides and exact sizes."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList

from hiera_det.config import CfgNode


class Anchors(AnchorGenerator):
    """Anchors of unrounded size, centred on the grid points of each pyramid level.

    torchvision rounds the corners to integers, lists the ratios first, and guesses the strides from the
    padded image. Behaviour matched: ``DefaultAnchorGenerator`` in detectron2/modeling/anchor_generator.py.

    Args:
        sizes: square roots of the anchors' areas in pixels, a list per level.
        aspect_ratios: height / width, a list per level.
        strides: pixels from one grid point to the next, per level.
        offset: of the first grid point from the image's corner, in strides, in [0, 1).
    """

    def __init__(
        self,
        sizes: list[list[float]],
        aspect_ratios: list[list[float]],
        strides: list[int],
        offset: float = 0.0,
    ) -> None:
        super().__init__(sizes, aspect_ratios)
        self.strides = strides
        self.offset = offset

    def generate_anchors(self, scales, aspect_ratios, dtype=torch.float32, device=None) -> Tensor:  # noqa: D102
        corners = []
        for scale in scales:
            for ratio in aspect_ratios:
                width = math.sqrt(scale**2 / ratio)
                height = ratio * width
                corners.append([-width / 2, -height / 2, width / 2, height / 2])
        return torch.tensor(corners, dtype=dtype, device=device)  # (A, 4)

    def forward(self, image_list: ImageList, feature_maps: list[Tensor]) -> list[Tensor]:
        """One (levels * H * W * A, 4) tensor of xyxy pixels, float32, the same for every image."""
        self.set_cell_anchors(torch.float32, feature_maps[0].device)
        levels = [
            self._grid(cell, stride, feature_map.shape[-2:])
            for cell, stride, feature_map in zip(self.cell_anchors, self.strides, feature_maps, strict=True)
        ]
        return [torch.cat(levels)] * len(image_list.image_sizes)

    def _grid(self, cell: Tensor, stride: int, size: torch.Size) -> Tensor:
        y, x = ((torch.arange(n, dtype=torch.float32, device=cell.device) + self.offset) * stride for n in size)
        y, x = (axis.reshape(-1) for axis in torch.meshgrid(y, x, indexing="ij"))
        shifts = torch.stack([x, y, x, y], dim=1)  # (H * W, 4)
        return (shifts[:, None] + cell).reshape(-1, 4)  # (H * W * A, 4)


def build_anchors(cfg: CfgNode, strides: list[int]) -> Anchors:
    """Anchors of ``MODEL.ANCHOR_GENERATOR`` for pyramid levels of these strides.

    Raises:
        ValueError: there are neither one nor ``len(strides)`` lists of sizes or ratios.
    """
    node = cfg.MODEL.ANCHOR_GENERATOR
    sizes = _per_level(node.SIZES, len(strides), "SIZES")
    ratios = _per_level(node.ASPECT_RATIOS, len(strides), "ASPECT_RATIOS")
    if len({len(s) * len(r) for s, r in zip(sizes, ratios, strict=True)}) > 1:
        raise ValueError(
            "MODEL.ANCHOR_GENERATOR: the levels share one head, so each needs the same number of sizes x"
            f" ratios; got SIZES {sizes} and ASPECT_RATIOS {ratios}"
        )
    return Anchors(sizes, ratios, strides, node.OFFSET)


def _per_level(values: list, levels: int, key: str) -> list[list[float]]:
    if not isinstance(values[0], (list, tuple)):
        values = [values]
    if len(values) == 1:
        values = list(values) * levels
    if len(values) != levels:
        raise ValueError(
            f"MODEL.ANCHOR_GENERATOR.{key} has {len(values)} lists, but MODEL.RPN.IN_FEATURES {levels}"
            " levels: give one list for all levels or one for each"
        )
    return [list(level) for level in values]
