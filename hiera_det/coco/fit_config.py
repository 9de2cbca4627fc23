"""What the training data make of a detector's config: the number of classes, and iterations in place of epochs."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any

from fvcore.common.config import CfgNode

from hiera_det.coco.json_file import AnnotationError
from hiera_det.coco.reader import read_annotations
from hiera_det.coco.records import Annotations
from hiera_det.data.catalog import DatasetFiles, resolve_dataset

__all__ = ["values_of_data"]

logger = logging.getLogger(__name__)

_COCOS = 80  # classes, the default of NUM_CLASSES
_MOST_WARM_UP = 0.1  # of a schedule in epochs
_FEW, _MANY = 1.0, 1000.0  # epochs, beyond which a schedule is hardly meant


def values_of_data(cfg: CfgNode, given: Collection[str], files: DatasetFiles | None) -> dict[str, Any]:
    """Give config values by key that depend on the training data.

    Args:
        cfg: a detector's config, for either backend.
        given: keys of the command line, which hold.
        files: one's own training data; None: those that ``DATASETS.TRAIN`` names.

    Returns:
        The number of classes of one's own data, unless a key or the config gives another than COCO's 80; of a schedule
        in epochs its iterations. Empty where the annotations do not tell: the examination of the data says why.
    """
    if files is None and not cfg.SOLVER.MAX_EPOCHS:
        return {}
    annotations = _read(resolve_dataset(cfg.DATASETS.TRAIN[0], cfg.DATASETS.FILES) if files is None else files)
    if annotations is None:
        return {}
    classes = {} if files is None else _class_counts(cfg, given, annotations)
    return {**classes, **_schedule(cfg, given, annotations, own=files is not None)}


def _read(files: DatasetFiles) -> Annotations | None:
    try:
        return read_annotations(files.json_file, mask_format=None)
    except AnnotationError as error:
        return error.annotations


def _class_counts(cfg: CfgNode, given: Collection[str], annotations: Annotations) -> dict[str, int]:
    nodes = [name for name in ("ROI_HEADS", "RETINANET") if name in cfg.MODEL]
    keys = [f"MODEL.{name}.NUM_CLASSES" for name in nodes]
    if set(keys) & set(given) or any(cfg.MODEL[name].NUM_CLASSES != _COCOS for name in nodes):
        return {}
    count = len(annotations.category_ids)
    logger.info("%s has %d classes, so has the detector", annotations.source, count)
    return dict.fromkeys(keys, count)


def _schedule(cfg: CfgNode, given: Collection[str], annotations: Annotations, *, own: bool) -> dict[str, int]:
    """Iterations of ``MAX_EPOCHS``; without it, or where ``MAX_ITER`` is given, a warning where epochs are odd."""
    solver = cfg.SOLVER
    drops_empty = cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS
    images = sum(bool(record.for_training().instances) or not drops_empty for record in annotations.records)
    per_epoch = images / solver.IMS_PER_BATCH
    if not images:
        return {}
    if not solver.MAX_EPOCHS or "SOLVER.MAX_ITER" in given:
        epochs = solver.MAX_ITER / per_epoch
        if own and not _FEW <= epochs <= _MANY:
            logger.warning(
                "SOLVER.MAX_ITER %d with batches of %d is %.3g epochs of the %d images; --epochs N asks for N of them",
                *(solver.MAX_ITER, solver.IMS_PER_BATCH, epochs, images),
            )
        return {"SOLVER.WARMUP_ITERS": _warm_up(cfg, solver.MAX_ITER)} if solver.MAX_EPOCHS else {}
    iterations = max(1, round(solver.MAX_EPOCHS * per_epoch))
    values = {"SOLVER.MAX_ITER": iterations, "SOLVER.WARMUP_ITERS": _warm_up(cfg, iterations)}
    if cfg.TEST.EVAL_EPOCHS:
        period = max(1, round(cfg.TEST.EVAL_EPOCHS * per_epoch))
        values |= {"TEST.EVAL_PERIOD": period, "SOLVER.CHECKPOINT_PERIOD": period}
    logger.info(
        "%g epochs of %d images in batches of %d are %d iterations",
        *(solver.MAX_EPOCHS, images, solver.IMS_PER_BATCH, iterations),
    )
    return {key: value for key, value in values.items() if key not in given}


def _warm_up(cfg: CfgNode, iterations: int) -> int:
    return min(cfg.SOLVER.WARMUP_ITERS, int(_MOST_WARM_UP * iterations))
