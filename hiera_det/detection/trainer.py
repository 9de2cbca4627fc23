"""A run: training with evaluation, or evaluation alone, from a config and launch flags."""

from __future__ import annotations

import logging

from fvcore.common.config import CfgNode

from hiera_det.config import get_cfg, save_config
from hiera_det.data.catalog import DatasetFiles
from hiera_det.detection.data.coco import CocoDataset
from hiera_det.detection.datamodule import DetectionData, check_classes
from hiera_det.detection.evaluation import Evaluation
from hiera_det.detection.model.detector import build_model
from hiera_det.detection.module import DetectionModule
from hiera_det.detection.pictures import Pictures
from hiera_det.engine.callbacks import Recorder
from hiera_det.engine.checkpoint import Checkpointer, forget_last_checkpoint, last_checkpoint
from hiera_det.engine.metrics import Records
from hiera_det.engine.module import seed_step
from hiera_det.engine.options import Launch, images_per_batch
from hiera_det.engine.run import build_trainer, draw_seed, errors_in_log, prepare_output
from hiera_det.weights.load import load_trained, load_weights

__all__ = ["Metrics", "evaluate", "get_cfg", "train"]

logger = logging.getLogger(__name__)

Metrics = dict[str, dict[str, float]]  # "bbox" and "segm" to name and percent


@errors_in_log()
def train(
    cfg: CfgNode,
    launch: Launch,
    *,
    resume: bool = False,
    train_files: DatasetFiles | None = None,
    test_files: DatasetFiles | None = None,
) -> Metrics | None:
    """Train to ``SOLVER.MAX_ITER``, evaluating on the way and at the end; all output goes to ``OUTPUT_DIR``.

    Args:
        cfg: the config.
        launch: where and how to compute.
        resume: continue from ``OUTPUT_DIR/last_checkpoint``, if there is one, exactly as if never interrupted.
        train_files: in place of ``DATASETS.TRAIN``.
        test_files: in place of ``DATASETS.TEST``.

    Returns:
        The metrics after the last iteration; None without a test set.

    Raises:
        ValueError, OSError: bad config, flags, data, weights or output folder; the message says which.
        FloatingPointError: the loss is not finite.
        SystemExit: a SIGTERM came; a checkpoint is written.
    """
    output_dir, first = prepare_output(cfg, launch)
    if first:
        save_config(cfg, output_dir / "config.yaml")
    checkpoint = last_checkpoint(output_dir) if resume else None
    seed = draw_seed(cfg, checkpoint)
    data = DetectionData(cfg, train_files, test_files)
    names = data.train_dataset.class_names
    if data.test_dataset is not None:
        check_classes("the training set", names, data.test_dataset)

    seed_step(seed)
    model = build_model(cfg)
    if checkpoint is None:
        if resume:
            logger.info("--resume: no checkpoint in %s yet, starting anew", output_dir)
        load_weights(model, cfg.MODEL.WEIGHTS)
    else:
        logger.info("resuming from %s", checkpoint)

    records = Records(output_dir)
    evaluation = Evaluation(cfg, records)
    checkpointer = Checkpointer(output_dir, cfg.SOLVER.CHECKPOINT_PERIOD)
    callbacks = [Recorder(records), checkpointer, evaluation]
    if cfg.VIS_PERIOD > 0:
        callbacks.insert(1, Pictures(records, cfg.VIS_PERIOD, cfg.INPUT.FORMAT, names))
    trainer = build_trainer(cfg, launch, callbacks, with_test=data.test_dataset is not None)
    images_per_batch(cfg, trainer.world_size, launch.accumulate)
    _check_shares(data.test_dataset, trainer.world_size)
    if checkpoint is None and trainer.is_global_zero:
        forget_last_checkpoint(output_dir)

    module = DetectionModule(model.train(), cfg, seed)
    trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    if data.test_dataset is None:
        logger.info("DATASETS.TEST is empty: no evaluation")
        return None
    if evaluation.iteration != trainer.global_step - 1:
        trainer.validate(module, datamodule=data, verbose=False)
    return _finished(evaluation)


@errors_in_log()
def evaluate(cfg: CfgNode, launch: Launch, *, test_files: DatasetFiles | None = None) -> Metrics:
    """Evaluate ``MODEL.WEIGHTS`` on ``DATASETS.TEST``; writes to ``OUTPUT_DIR/inference``, the config included.

    Args:
        cfg: the config.
        launch: where and how to compute.
        test_files: in place of ``DATASETS.TEST``.

    Raises:
        ValueError, OSError: bad config, flags, data, weights or output folder; the message says which.
        SystemExit: a SIGTERM came.
    """
    output_dir, first = prepare_output(cfg, launch)
    data = DetectionData(cfg, None, test_files)
    if data.test_dataset is None:
        raise ValueError("DATASETS.TEST is empty: name a dataset, or give --dataset-json and --image-root")
    model = build_model(cfg)
    checkpoint = load_trained(model, cfg.MODEL.WEIGHTS)
    check_classes(cfg.MODEL.WEIGHTS, checkpoint.get("class_names"), data.test_dataset)
    evaluation = Evaluation(cfg, Records(output_dir))
    checkpointer = Checkpointer(output_dir, cfg.SOLVER.CHECKPOINT_PERIOD)
    callbacks = [checkpointer, evaluation]
    trainer = build_trainer(cfg, launch, callbacks, with_test=True)
    _check_shares(data.test_dataset, trainer.world_size)
    trainer.validate(DetectionModule(model, cfg, seed=0), datamodule=data, verbose=False)
    metrics = _finished(evaluation)
    if first:
        save_config(cfg, evaluation.folder / "config.yaml")  # beside what it gave; the run's own stays
    return metrics


def _finished(evaluation: Evaluation) -> Metrics:
    if evaluation.metrics is None:  # the one reason that leaves none
        raise SystemExit(143)
    return evaluation.metrics


def _check_shares(test_dataset: CocoDataset | None, processes: int) -> None:
    if test_dataset is not None and len(test_dataset) < processes:
        raise ValueError(
            f"the test set {test_dataset.files.name} has {len(test_dataset)} images for {processes} processes, but each"
            " process evaluates one at least: start fewer (--num-gpus, --num-machines, torchrun) or name a larger test"
            ' set; DATASETS.TEST "()" trains without one, to evaluate afterwards with --eval-only'
        )
