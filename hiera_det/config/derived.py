"""Keys that carry others: the size of the images, and the batch that the learning rate is meant for."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from fvcore.common.config import CfgNode

__all__ = ["derived_values"]

_SMALLEST = 1 / 32  # of the size: the first anchor, as the shipped ones of 32 pixels at 1024 x 1024
_LAST_STRIDE = 32
_WINDOWS = (16, 14, 12, 10, 8)  # tokens a side in the third stage, of which half are those of the fourth


def derived_values(cfg: CfgNode, given: Collection[str]) -> dict[str, Any]:
    """Give the values, by key, that ``INPUT.IMAGE_SIZE`` and ``SOLVER.BASE_LR_BATCH`` stand for.

    Args:
        cfg: the config, which may be another task's.
        given: keys of the command line, which stay as they are.

    Raises:
        ValueError: the size is not a multiple of 32.
    """
    values = {**_of_image_size(cfg), **_of_batch(cfg)} if cfg.get("TASK") == "detection" else {}
    return {key: value for key, value in values.items() if key not in given or key in _CARRIERS}


_CARRIERS = ("INPUT.IMAGE_SIZE", "SOLVER.BASE_LR_BATCH")


def _of_image_size(cfg: CfgNode) -> dict[str, Any]:
    size, hiera = cfg.INPUT.IMAGE_SIZE, cfg.MODEL.HIERA
    if not size:
        return {}
    if size % _LAST_STRIDE:
        raise ValueError(f"INPUT.IMAGE_SIZE is {size}, expected a multiple of {_LAST_STRIDE}")
    sizes = cfg.MODEL.ANCHOR_GENERATOR.SIZES
    anchors = [[side * size * _SMALLEST / sizes[0][0] for side in level] for level in sizes]
    values = {
        "INPUT.IMAGE_SIZE": 0,  # from here on the other keys say it
        "INPUT.MIN_SIZE_TRAIN": (size,),
        "INPUT.MAX_SIZE_TRAIN": size,
        "INPUT.MIN_SIZE_TEST": size,
        "INPUT.MAX_SIZE_TEST": size,
        "MODEL.ANCHOR_GENERATOR.SIZES": anchors,
    }
    if hiera.SQUARE_PAD:
        values["MODEL.HIERA.SQUARE_PAD"] = size
    if hiera.POS_EMBED_SIZE is None:  # SAM 2's weights have windows of their own
        cells = size // 16
        window = min(_WINDOWS, key=lambda its: (math.ceil(cells / its) * its, -its))
        values["MODEL.HIERA.WINDOW_SIZES"] = [8, 4, window, window // 2]
    return values


def _of_batch(cfg: CfgNode) -> dict[str, Any]:
    """The rule: with ADAMW the rate goes by the square root of the batch, with SGD by the batch."""
    solver = cfg.SOLVER
    if solver.BASE_LR_BATCH in (0, solver.IMS_PER_BATCH):
        return {}
    ratio = solver.IMS_PER_BATCH / solver.BASE_LR_BATCH
    rate = solver.BASE_LR * (math.sqrt(ratio) if solver.OPTIMIZER == "ADAMW" else ratio)
    return {"SOLVER.BASE_LR": float(f"{rate:.6g}"), "SOLVER.BASE_LR_BATCH": solver.IMS_PER_BATCH}
