"""Parameter names: this backend's modules to and from detectron2's checkpoints.

The tensors are the same but for the rows of the class scores: background first here, last there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from torch import Tensor

_CLASS_SCORES = re.compile(r"roi_heads\.box_predictor\.(\d+\.)?cls_score\.(weight|bias)")


def to_detectron2(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a state dict of :class:`~hiera_det.detection.model.detector.Detector` to detectron2's names.

    Names that neither has stay as they are. The tensors are shared, except the class scores, whose rows move.
    """
    convs = _count(state_dict, r"roi_heads\.box_head\.0\.\d+\.0\.weight")
    rpn_convs = _count(state_dict, r"rpn\.head\.conv\.\d+\.0\.weight")
    cascade = _count(state_dict, r"roi_heads\.box_predictor\.\d+\.cls_score\.weight") > 1
    return _rename(state_dict, dict(_modules(_numbers(state_dict), convs, rpn_convs, cascade)), background_first=False)


def from_detectron2(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename detectron2's state dict to this backend's names: the inverse of :func:`to_detectron2`."""
    convs = _count(state_dict, r"roi_heads\.box_head\.(0\.)?conv\d+\.weight")
    rpn_convs = _count(state_dict, r"proposal_generator\.rpn_head\.conv(\.conv\d+)?\.weight")
    cascade = _count(state_dict, r"roi_heads\.box_predictor\.\d+\.cls_score\.weight") > 0
    modules = {theirs: ours for ours, theirs in _modules(_numbers(state_dict), convs, rpn_convs, cascade)}
    return _rename(state_dict, modules, background_first=True)


def _modules(numbers: range, convs: int, rpn_convs: int, cascade: bool) -> Iterator[tuple[str, str]]:
    """Pairs of our module and detectron2's; ``numbers``: all that names count with; ``convs``: in a box head."""
    yield "rpn.head.cls_logits", "proposal_generator.rpn_head.objectness_logits"
    yield "rpn.head.bbox_pred", "proposal_generator.rpn_head.anchor_deltas"
    yield "roi_heads.mask_predictor.conv5_mask", "roi_heads.mask_head.deconv"
    yield "roi_heads.mask_predictor.mask_fcn_logits", "roi_heads.mask_head.predictor"
    for i in range(rpn_convs):
        one_of_several = f".conv{i}" if rpn_convs > 1 else ""
        yield f"rpn.head.conv.{i}.0", f"proposal_generator.rpn_head.conv{one_of_several}"
    for i in numbers:
        for member, norm in (("0", ""), ("1", ".norm")):  # of a block: convolution, norm
            yield f"backbone.fpn.inner_blocks.{i}.{member}", f"backbone.fpn_lateral{i}{norm}"
            yield f"backbone.fpn.layer_blocks.{i}.{member}", f"backbone.fpn_output{i}{norm}"
            yield f"roi_heads.mask_head.{i}.{member}", f"roi_heads.mask_head.mask_fcn{i + 1}{norm}"
    for stage in numbers if cascade else [0]:
        of_stage = f".{stage}" if cascade else ""
        for layer in ("cls_score", "bbox_pred"):
            yield f"roi_heads.box_predictor.{stage}.{layer}", f"roi_heads.box_predictor{of_stage}.{layer}"
        for i in range(convs):
            for member, norm in (("0", ""), ("1", ".norm")):
                theirs = f"roi_heads.box_head{of_stage}.conv{i + 1}{norm}"
                yield f"roi_heads.box_head.{stage}.{i}.{member}", theirs
        for i in numbers:  # convolutions, flatten, linear, ReLU, linear
            yield f"roi_heads.box_head.{stage}.{convs + 1 + 2 * i}", f"roi_heads.box_head{of_stage}.fc{i + 1}"


def _rename(
    state_dict: Mapping[str, Tensor], modules: Mapping[str, str], *, background_first: bool
) -> dict[str, Tensor]:
    renamed = {}
    for name, tensor in state_dict.items():
        module, _, parameter = name.rpartition(".")
        new_name = f"{modules[module]}.{parameter}" if module in modules else name
        renamed[new_name] = tensor.roll(1 if background_first else -1, 0) if _CLASS_SCORES.fullmatch(name) else tensor
    return renamed


def _numbers(names: Mapping[str, Tensor]) -> range:
    return range(1 + max((int(number) for name in names for number in re.findall(r"\d+", name)), default=0))


def _count(names: Mapping[str, Tensor], pattern: str) -> int:
    return sum(re.fullmatch(pattern, name) is not None for name in names)
