"""Whether a dataset's images fit what the config makes of them."""

from __future__ import annotations

from fvcore.common.config import CfgNode

from hiera_det.coco.records import Annotations
from hiera_det.data.findings import Findings
from hiera_det.data.resize import shortest_edge_size

__all__ = ["examine_fit"]


def examine_fit(cfg: CfgNode, annotations: Annotations, findings: Findings, *, training: bool) -> None:
    """See that no image is larger than ``MODEL.HIERA.SQUARE_PAD`` once it is resized.

    Args:
        cfg: ``INPUT`` and ``MODEL.HIERA`` are read.
        annotations: of the dataset.
        findings: gets what is found.
        training: as training resizes; otherwise as evaluation does.
    """
    square, node = cfg.MODEL.HIERA.SQUARE_PAD, cfg.INPUT
    if not square:
        return
    split = "TRAIN" if training else "TEST"
    longest = node[f"MAX_SIZE_{split}"]
    sides = node.MIN_SIZE_TRAIN if training else [node.MIN_SIZE_TEST]
    side = max([sides] if isinstance(sides, int) else sides)
    if training and node.CROP.ENABLED:
        largest = [longest]
    else:
        largest = [_longest_side(record.height, record.width, side, longest) for record in annotations.records]
    too_large = [value for value in largest if value > square]
    if too_large:
        findings.add(
            "problem",
            f"{annotations.source}: {len(too_large)} of {len(largest)} images are up to {max(too_large)} pixels long"
            f" after INPUT.MIN_SIZE_{split} {side} and INPUT.MAX_SIZE_{split} {longest}, which does not fit"
            f" MODEL.HIERA.SQUARE_PAD {square}: lower INPUT.MAX_SIZE_{split}, or raise SQUARE_PAD (0: no square)",
        )


def _longest_side(height: int, width: int, side: int, longest: int) -> int:
    return max(shortest_edge_size(height, width, side, longest) if side else (height, width))
