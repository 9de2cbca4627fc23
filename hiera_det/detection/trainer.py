"""Training and evaluation of detectors on the torchvision backend."""

from __future__ import annotations

from fvcore.common.config import CfgNode

from hiera_det.config import get_cfg as defaults
from hiera_det.data.catalog import DatasetFiles
from hiera_det.detection.coco_evaluator import Metrics
from hiera_det.detection.task import DetectionTask
from hiera_det.engine import run
from hiera_det.engine.options import RunOptions

__all__ = ["defaults", "evaluate", "train"]


def train(
    cfg: CfgNode,
    options: RunOptions,
    *,
    resume: bool = False,
    train_files: DatasetFiles | None = None,
    test_files: DatasetFiles | None = None,
) -> Metrics | None:
    """Train a detector, see :func:`hiera_det.engine.run.train`; the files take the place of ``DATASETS``."""
    return run.train(DetectionTask(cfg, train_files, test_files), options, resume=resume)


def evaluate(cfg: CfgNode, options: RunOptions, *, test_files: DatasetFiles | None = None) -> Metrics:
    """Evaluate a detector, see :func:`hiera_det.engine.run.evaluate`; the files take the place of ``DATASETS.TEST``."""
    return run.evaluate(DetectionTask(cfg, test=test_files), options)
