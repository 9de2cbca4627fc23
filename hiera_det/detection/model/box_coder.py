"""Boxes as deltas from other boxes: what the heads regress."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

MAX_LOG_SCALE = math.log(1000.0 / 16)  # a predicted side is at most 62.5 times the side it starts from


class BoxCoder:
    """Encode boxes as shifts of a box's centre, in its sides, and logarithms of the sides' ratios; and decode them.

    Source: Girshick et al., R-CNN (2014), appendix C. Behaviour matched: ``Box2BoxTransform`` in
    detectron2/modeling/box_regression.py, and torchvision's private ``BoxCoder`` to the last bit.

    Args:
        weights: factors of the deltas x, y, width, height.
    """

    def __init__(self, weights: Sequence[float]) -> None:
        self.weights = tuple(weights)

    def encode(self, targets: Sequence[Tensor], boxes: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Encode targets as deltas from boxes.

        Args:
            targets: (R_i, 4) of each image, xyxy pixels.
            boxes: (R_i, 4) of each image, xyxy pixels.

        Returns:
            (R_i, 4) of each image.
        """
        x, y, width, height = _centre_and_sides(torch.cat(tuple(boxes)))
        to_x, to_y, to_width, to_height = _centre_and_sides(torch.cat(tuple(targets)))
        weight_x, weight_y, weight_width, weight_height = self.weights
        deltas = (
            weight_x * (to_x - x) / width,
            weight_y * (to_y - y) / height,
            weight_width * torch.log(to_width / width),
            weight_height * torch.log(to_height / height),
        )
        return torch.stack(deltas, dim=1).split([len(of_image) for of_image in boxes])

    def decode(self, deltas: Tensor, boxes: Sequence[Tensor]) -> Tensor:
        """Move boxes by deltas.

        Args:
            deltas: (R, 4) or (R, K, 4) of all images.
            boxes: (R_i, 4) of each image, xyxy pixels, R in all.

        Returns:
            (R, K, 4) xyxy pixels, without K a 1 in its place.
        """
        deltas = deltas.flatten(1).unflatten(1, (-1, 4))  # (R, K, 4)
        start = torch.cat(tuple(boxes)).to(deltas.dtype)[:, None]  # (R, 1, 4)
        x, y, width, height = _centre_and_sides(start)  # (R, 1) each
        by_x, by_y, by_width, by_height = (
            delta / weight for delta, weight in zip(deltas.unbind(-1), self.weights, strict=True)
        )  # (R, K) each
        x, y = by_x * width + x, by_y * height + y
        half_width = 0.5 * (by_width.clamp(max=MAX_LOG_SCALE).exp() * width)
        half_height = 0.5 * (by_height.clamp(max=MAX_LOG_SCALE).exp() * height)
        return torch.stack([x - half_width, y - half_height, x + half_width, y + half_height], dim=-1)


def _centre_and_sides(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x1, y1, x2, y2 = boxes.unbind(-1)
    width, height = x2 - x1, y2 - y1
    return x1 + 0.5 * width, y1 + 0.5 * height, width, height
