"""Keys of detectron2 without effect on Hiera's detectors, which its projects' files and its runs' dumps have."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from fvcore.common.config import CfgNode

__all__ = ["skip_keys", "skip_overrides"]

logger = logging.getLogger(__name__)

# A key, or a node with all its keys. What else detectron2 has would change the model, its training or its results.
_WITHOUT_EFFECT = (
    *("CUDNN_BENCHMARK", "GLOBAL"),
    *("MODEL.RESNETS", "MODEL.RETINANET", "MODEL.SEM_SEG_HEAD", "MODEL.PANOPTIC_FPN", "MODEL.ROI_KEYPOINT_HEAD"),
    "MODEL.ANCHOR_GENERATOR.ANGLES",  # of rotated anchors
    *("MODEL.ROI_BOX_HEAD.FED_LOSS_FREQ_WEIGHT_POWER", "MODEL.ROI_BOX_HEAD.FED_LOSS_NUM_CLASSES"),  # of USE_FED_LOSS
    *("DATASETS.PROPOSAL_FILES_TRAIN", "DATASETS.PROPOSAL_FILES_TEST"),  # of MODEL.LOAD_PROPOSALS
    *("DATASETS.PRECOMPUTED_PROPOSAL_TOPK_TRAIN", "DATASETS.PRECOMPUTED_PROPOSAL_TOPK_TEST"),
    *("DATALOADER.REPEAT_THRESHOLD", "DATALOADER.REPEAT_SQRT"),  # of the repeat-factor sampler
    *("SOLVER.NUM_DECAYS", "SOLVER.RESCALE_INTERVAL"),  # of a scheduler that is not supported
    *("TEST.EXPECTED_RESULTS", "TEST.KEYPOINT_OKS_SIGMAS", "TEST.AUG", "TEST.PRECISE_BN"),  # of scripts around a run
)


def skip_keys(values: dict[str, Any], known: CfgNode, source: str) -> None:
    """Take the keys without effect out of a detector's config, in place, and list them in the log.

    Args:
        values: nested dicts, as read from a file.
        known: a config with every key that there may be; what it has stays, as on the detectron2 backend.
        source: the file, for the log.
    """
    if skipped := [key for key in _skippable(known) if _pop(values, key)]:
        _log(source, skipped)


def skip_overrides(overrides: Sequence[str], known: CfgNode) -> list[str]:
    """The ``KEY VALUE`` words without those of keys without effect, which are listed in the log."""
    keys = _skippable(known)
    pairs = [(overrides[i], overrides[i + 1]) for i in range(0, len(overrides), 2)]
    skipped = [name for name, _ in pairs if any(name == key or name.startswith(f"{key}.") for key in keys)]
    if skipped:
        _log("the command line", skipped)
    return [word for pair in pairs if pair[0] not in skipped for word in pair]


def _skippable(known: CfgNode) -> list[str]:
    if known.get("TASK") != "detection":
        return []
    return [key for key in _WITHOUT_EFFECT if not _has(known, key)]


def _has(node: Any, key: str) -> bool:
    for name in key.split("."):
        if not isinstance(node, dict) or name not in node:
            return False
        node = node[name]
    return True


def _pop(node: Any, key: str) -> bool:
    """Remove a key, if it is there; say whether it was."""
    *nodes, last = key.split(".")
    for name in nodes:
        if not isinstance(node, dict) or name not in node:
            return False
        node = node[name]
    if not isinstance(node, dict) or last not in node:
        return False
    del node[last]
    return True


def _log(source: str, skipped: list[str]) -> None:
    logger.info("%s: skipped keys of detectron2 without effect on this model: %s", source, ", ".join(skipped))
