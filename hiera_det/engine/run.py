"""A run of any task: training with evaluation, or evaluation alone."""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
from fvcore.common.config import CfgNode

from hiera_det.config import save_config
from hiera_det.data.findings import Findings
from hiera_det.engine.callbacks import MetricsLogging, ProgressBar
from hiera_det.engine.checkpoint import AtomicCheckpointIO, Checkpointer, forget_last_checkpoint
from hiera_det.engine.data import TaskData
from hiera_det.engine.devices import device_arguments, precision
from hiera_det.engine.evaluation import Evaluation
from hiera_det.engine.loggers import check_loggers
from hiera_det.engine.metrics import MetricsFile
from hiera_det.engine.module import TrainingModule, seed_step
from hiera_det.engine.options import RunOptions, items_per_device
from hiera_det.engine.output import prepare_output
from hiera_det.engine.task import Task
from hiera_det.weights.load import load_weights
from hiera_det.weights.source import last_checkpoint
from hiera_det.weights.trained import load_trained, read_trained

__all__ = ["evaluate", "train"]

logger = logging.getLogger(__name__)


@contextmanager
def _errors_in_log() -> Iterator[None]:
    """Write the traceback of an error to log.txt; on stderr the caller says what it will.

    Loaders' workers are killed: as they ignore SIGTERM, Python would wait for them at its end for ever.
    """
    try:
        yield
    except Exception:
        logger.debug("stopped by an error", exc_info=True)
        for worker in multiprocessing.active_children():
            worker.kill()
        raise


@_errors_in_log()
def train(task: Task, options: RunOptions, *, resume: bool = False) -> Any:
    """Train to ``SOLVER.MAX_ITER``, evaluating on the way and at the end; all output goes to ``OUTPUT_DIR``.

    Args:
        task: what to train.
        options: where and how to compute.
        resume: continue from ``OUTPUT_DIR/last_checkpoint``, if there is one, exactly as if never interrupted.

    Returns:
        The task's metrics after the last iteration; None without a test set.

    Raises:
        ValueError, OSError: bad config, flags, data, weights or output folder; the message says which.
        FloatingPointError: the loss is not finite.
        SystemExit: a SIGTERM came, and a checkpoint is written; or the task says so, see :meth:`Task.exit_code`.
    """
    cfg = task.cfg
    check_loggers(cfg)
    output_dir, is_writer = prepare_output(cfg, options)
    if is_writer:
        save_config(cfg, output_dir / "config.yaml")
    checkpoint = last_checkpoint(output_dir) if resume else None
    seed = _draw_seed(cfg, checkpoint)
    if is_writer:
        _examine(task, training=True)
    task.train_dataset, task.test_dataset  # noqa: B018  # read now: what is wrong with them is said early

    seed_step(seed)
    model = task.build_model()
    licence = None
    if checkpoint is None:
        if resume:
            logger.info("--resume: no checkpoint in %s yet, starting anew", output_dir)
        report = load_weights(model, cfg.MODEL.WEIGHTS)
        licence = None if report.licence == "none" else report.licence
    else:
        logger.info("resuming from %s", checkpoint)

    metrics = MetricsFile(output_dir)
    evaluation = Evaluation(task, metrics)
    checkpointer = Checkpointer(output_dir, cfg.SOLVER.CHECKPOINT_PERIOD)
    trainer = _build_trainer(task, options, [MetricsLogging(cfg, metrics), *task.callbacks(), checkpointer, evaluation])
    items_per_device(cfg, trainer.world_size, options.accumulate)
    if checkpoint is None and trainer.is_global_zero:
        forget_last_checkpoint(output_dir)

    module = TrainingModule(task, model.train(), seed, licence)
    data = TaskData(task, options.accumulate)
    trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    if task.test_dataset is None:
        logger.info("DATASETS.TEST is empty: no evaluation")
        return None
    if evaluation.iteration != trainer.global_step - 1:
        trainer.validate(module, datamodule=data, verbose=False)
    return _finished(task, evaluation)


@_errors_in_log()
def evaluate(task: Task, options: RunOptions) -> Any:
    """Evaluate ``MODEL.WEIGHTS`` on the test set; writes to ``OUTPUT_DIR/inference``, the config included.

    Args:
        task: what to evaluate.
        options: where and how to compute.

    Returns:
        The task's metrics.

    Raises:
        ValueError, OSError: bad config, flags, data, weights or output folder; the message says which.
        SystemExit: a SIGTERM came, or the task says so, see :meth:`Task.exit_code`.
    """
    cfg = task.cfg
    output_dir, is_writer = prepare_output(cfg, options)
    if is_writer:
        _examine(task, training=False)
    if task.test_dataset is None:
        raise ValueError("DATASETS.TEST is empty: name a dataset; of detectors --dataset-json and --image-root too")
    trained = read_trained(cfg.MODEL.WEIGHTS)
    task.check_classes(trained.description, cfg.MODEL.WEIGHTS, training=False)
    model = task.build_model()
    load_trained(model, trained)
    evaluation = Evaluation(task, MetricsFile(output_dir))
    checkpointer = Checkpointer(output_dir, cfg.SOLVER.CHECKPOINT_PERIOD)
    trainer = _build_trainer(task, options, [checkpointer, evaluation])
    module = TrainingModule(task, model, seed=0)
    trainer.validate(module, datamodule=TaskData(task, options.accumulate), verbose=False)
    metrics = _finished(task, evaluation)
    if is_writer:
        save_config(cfg, evaluation.folder / "config.yaml")  # beside what it gave; the run's own stays
    return metrics


def _examine(task: Task, *, training: bool) -> None:
    findings = Findings()
    task.examine(findings, training=training)
    findings.report(logger)


def _build_trainer(task: Task, options: RunOptions, callbacks: Sequence[L.Callback]) -> L.Trainer:
    """Build Lightning's trainer for ``SOLVER.MAX_ITER`` optimizer steps, evaluating every ``TEST.EVAL_PERIOD``.

    Raises:
        ValueError: config and options contradict each other or the machine, or a rank would have nothing to evaluate.
    """
    cfg = task.cfg
    arguments = device_arguments(cfg, options)
    iterations, test_dataset = cfg.SOLVER.MAX_ITER, task.test_dataset
    trainer = L.Trainer(
        **arguments,
        precision=precision(cfg, options, arguments["accelerator"]),
        max_steps=iterations,
        max_epochs=-1,
        val_check_interval=cfg.TEST.EVAL_PERIOD or iterations + 1,  # with no period: past the end
        check_val_every_n_epoch=None,
        limit_val_batches=0 if test_dataset is None else None,
        num_sanity_val_steps=0,
        inference_mode=False,  # what a model caches in an evaluation has to serve in training too
        use_distributed_sampler=False,
        callbacks=[ProgressBar(), *callbacks],
        plugins=[AtomicCheckpointIO()],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        default_root_dir=cfg.OUTPUT_DIR,
    )
    if test_dataset is not None and len(test_dataset) < trainer.world_size:  # type: ignore[arg-type]
        raise ValueError(
            f"the test set has {len(test_dataset)} items for {trainer.world_size} processes, but each process evaluates"  # type: ignore[arg-type]
            " one at least: start fewer (--num-gpus, --num-machines, torchrun) or name a larger test set"
        )
    return trainer


def _draw_seed(cfg: CfgNode, checkpoint: Path | None) -> int:
    """Give ``SEED``, or where that is negative a random one; a resumed run takes the checkpoint's in its place."""
    if cfg.SEED >= 0:
        return cfg.SEED
    seed = int.from_bytes(os.urandom(4), "little") >> 1
    if checkpoint is None:
        logger.info("SEED is %d: drew %d; checkpoints keep it", cfg.SEED, seed)
    return seed


def _finished(task: Task, evaluation: Evaluation) -> Any:
    if evaluation.metrics is None:  # the one reason that leaves none
        raise SystemExit(143)
    if code := task.exit_code(evaluation.metrics):
        raise SystemExit(code)
    return evaluation.metrics
