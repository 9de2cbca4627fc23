"""The number of classes of one's own data, for a config that names none."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from fvcore.common.config import CfgNode

from hiera_det.coco.json_file import AnnotationError
from hiera_det.coco.reader import read_annotations
from hiera_det.data.catalog import DatasetFiles

__all__ = ["class_counts"]

logger = logging.getLogger(__name__)

_COCOS = 80  # classes, the default of NUM_CLASSES


def class_counts(cfg: CfgNode, overrides: Sequence[Any], files: DatasetFiles) -> dict[str, int]:
    """Config values by key for the number of classes of one's own data, where nothing else gives one.

    Args:
        cfg: a detector's config, for either backend.
        overrides: the keys and values that were given with it.
        files: of the training data.

    Returns:
        Empty if an override gives the number, or the config has another than COCO's, or the annotations do not tell it:
        the examination of the data says why.
    """
    nodes = [name for name in ("ROI_HEADS", "RETINANET") if name in cfg.MODEL]
    keys = [f"MODEL.{name}.NUM_CLASSES" for name in nodes]
    if set(keys) & set(overrides[::2]) or any(cfg.MODEL[name].NUM_CLASSES != _COCOS for name in nodes):
        return {}
    try:
        annotations = read_annotations(files.json_file, mask_format=None)
    except AnnotationError as error:
        if error.annotations is None:
            return {}
        annotations = error.annotations
    count = len(annotations.category_ids)
    logger.info("%s has %d classes, so has the detector", files.json_file, count)
    return dict.fromkeys(keys, count)
