"""Parameter names: this host's modules to and from detectron2's checkpoints.

The tensors are the same but for the rows of the class scores: background first here, last there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

# Prefixes whose ends need no thought; the blocks of convolutions below do.
_SAME = (
    ("rpn.head.cls_logits.", "proposal_generator.rpn_head.objectness_logits."),
    ("rpn.head.bbox_pred.", "proposal_generator.rpn_head.anchor_deltas."),
    ("roi_heads.mask_predictor.conv5_mask.", "roi_heads.mask_head.deconv."),
    ("roi_heads.mask_predictor.mask_fcn_logits.", "roi_heads.mask_head.predictor."),
)
_PYRAMID = (("inner_blocks", "fpn_lateral"), ("layer_blocks", "fpn_output"))
_CLASS_SCORES = ("roi_heads.box_predictor.cls_score.weight", "roi_heads.box_predictor.cls_score.bias")


def to_detectron2(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a state dict of :class:`~hiera_det.hosts.torchvision.detector.Detector` to detectron2's names.

    Names that neither has stay as they are. The tensors are shared, except the class scores, whose rows move.
    """
    convs = _count(state_dict, r"roi_heads\.box_head\.(\d+)\.0\.weight")
    rpn_convs = _count(state_dict, r"rpn\.head\.conv\.(\d+)\.0\.weight")
    return {
        _to_name(name, convs, rpn_convs): tensor.roll(-1, 0) if name in _CLASS_SCORES else tensor
        for name, tensor in state_dict.items()
    }


def from_detectron2(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename detectron2's state dict to this host's names: the inverse of :func:`to_detectron2`."""
    convs = _count(state_dict, r"roi_heads\.box_head\.conv(\d+)\.weight")
    return {
        _from_name(name, convs): tensor.roll(1, 0) if name in _CLASS_SCORES else tensor
        for name, tensor in state_dict.items()
    }


def _count(names: Mapping[str, Tensor], pattern: str) -> int:
    return sum(re.fullmatch(pattern, name) is not None for name in names)


def _to_name(name: str, convs: int, rpn_convs: int) -> str:
    """detectron2's name; ``convs`` and ``rpn_convs``: convolutions in the box head and in the RPN's head."""
    for ours, theirs in _SAME:
        if name.startswith(ours):
            return theirs + name[len(ours) :]
    for ours, theirs in _PYRAMID:
        if match := re.fullmatch(rf"backbone\.fpn\.{ours}\.(\d+)\.([01])\.(\w+)", name):
            return f"backbone.{theirs}{match[1]}.{_norm(match[2])}{match[3]}"
    if match := re.fullmatch(r"rpn\.head\.conv\.(\d+)\.0\.(\w+)", name):
        return f"proposal_generator.rpn_head.conv.{f'conv{match[1]}.' if rpn_convs > 1 else ''}{match[2]}"
    if match := re.fullmatch(r"roi_heads\.mask_head\.(\d+)\.([01])\.(\w+)", name):
        return f"roi_heads.mask_head.mask_fcn{int(match[1]) + 1}.{_norm(match[2])}{match[3]}"
    if match := re.fullmatch(r"roi_heads\.box_head\.(\d+)\.([01])\.(\w+)", name):
        return f"roi_heads.box_head.conv{int(match[1]) + 1}.{_norm(match[2])}{match[3]}"
    if match := re.fullmatch(r"roi_heads\.box_head\.(\d+)\.(\w+)", name):  # convs, flatten, then linear, ReLU, ...
        return f"roi_heads.box_head.fc{(int(match[1]) - convs - 1) // 2 + 1}.{match[2]}"
    return name


def _from_name(name: str, convs: int) -> str:
    """Our name; ``convs``: convolutions in the box head."""
    for ours, theirs in _SAME:
        if name.startswith(theirs):
            return ours + name[len(theirs) :]
    for ours, theirs in _PYRAMID:
        if match := re.fullmatch(rf"backbone\.{theirs}(\d+)\.(norm\.)?(\w+)", name):
            return f"backbone.fpn.{ours}.{match[1]}.{_index(match[2])}.{match[3]}"
    if match := re.fullmatch(r"proposal_generator\.rpn_head\.conv\.(?:conv(\d+)\.)?(\w+)", name):
        return f"rpn.head.conv.{match[1] or 0}.0.{match[2]}"
    if match := re.fullmatch(r"roi_heads\.mask_head\.mask_fcn(\d+)\.(norm\.)?(\w+)", name):
        return f"roi_heads.mask_head.{int(match[1]) - 1}.{_index(match[2])}.{match[3]}"
    if match := re.fullmatch(r"roi_heads\.box_head\.conv(\d+)\.(norm\.)?(\w+)", name):
        return f"roi_heads.box_head.{int(match[1]) - 1}.{_index(match[2])}.{match[3]}"
    if match := re.fullmatch(r"roi_heads\.box_head\.fc(\d+)\.(\w+)", name):
        return f"roi_heads.box_head.{convs + 1 + 2 * (int(match[1]) - 1)}.{match[2]}"
    return name


def _norm(index: str) -> str:
    """detectron2's part of the name for the convolution (0) or its norm (1) in a block."""
    return "norm." if index == "1" else ""


def _index(norm: str | None) -> int:
    return 1 if norm else 0
