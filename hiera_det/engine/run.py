"""A run of any task: training with evaluation, or evaluation alone."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import lightning as L

from hiera_det.config import save_config
from hiera_det.data.findings import Findings
from hiera_det.engine.callbacks import MetricsLogging, ProgressBar, WatchedRanks
from hiera_det.engine.checkpoint import AtomicCheckpointIO, Checkpointer, forget_last_checkpoint
from hiera_det.engine.data import TaskData
from hiera_det.engine.data_record import record_data
from hiera_det.engine.devices import device_arguments, precision
from hiera_det.engine.evaluation import Evaluation
from hiera_det.engine.loaders import ending_workers
from hiera_det.engine.lock import locked
from hiera_det.engine.loggers import check_loggers
from hiera_det.engine.metrics import MetricsFile
from hiera_det.engine.module import TrainingModule, seed_step
from hiera_det.engine.options import RunOptions, items_per_device
from hiera_det.engine.output import begin_output, end_log, prepare_output
from hiera_det.engine.task import Task
from hiera_det.weights.load import load_weights
from hiera_det.weights.source import last_checkpoint
from hiera_det.weights.trained import load_trained, read_trained

__all__ = ["evaluate", "train"]

logger = logging.getLogger(__name__)


@contextmanager
def _run_in(folder: Path, *, is_writer: bool) -> Iterator[None]:
    """Keep other runs out of the folder, and write the traceback of an error to log.txt; on stderr the caller says it.

    A run whose checks fail has a log only where there is no other run in the folder.
    """
    with locked(folder) if is_writer else nullcontext():
        try:
            with ending_workers():
                yield
        except Exception:
            logger.debug("stopped by an error", exc_info=True)
            if not (folder / "config.yaml").exists():
                begin_output(folder)
            raise
        finally:
            end_log()


def train(task: Task, options: RunOptions, *, resume: bool = False) -> Any:
    """Train to ``SOLVER.MAX_ITER``, evaluating on the way and at the end; all output goes to ``OUTPUT_DIR``.

    Nothing in the folder changes before all is found to be in order.

    Args:
        task: what to train.
        options: where and how to compute.
        resume: continue from ``OUTPUT_DIR/last_checkpoint``, if there is one, exactly as if never interrupted; the
            config is then that of :func:`~hiera_det.config.resume.resumed_config`.

    Returns:
        The task's metrics after the last iteration; None without a test set.

    Raises:
        ValueError, OSError: bad config, flags, data, weights or output folder; the message says which.
        FloatingPointError: the loss, or what was to be saved, is not finite.
        SystemExit: a SIGTERM or Ctrl-C came, and a checkpoint is written; or the task says so, see
            :meth:`Task.exit_code`.
    """
    check_loggers(task.cfg)
    output_dir, is_writer = prepare_output(task.cfg, options)
    with _run_in(output_dir, is_writer=is_writer):
        return _train(task, options, output_dir, is_writer, resume)


def _train(task: Task, options: RunOptions, output_dir: Path, is_writer: bool, resume: bool) -> Any:
    checkpoint = last_checkpoint(output_dir) if resume else None
    seed = _draw_seed(task, checkpoint)
    if is_writer:
        _examine(task, training=True)
    task.train_dataset, task.test_dataset  # noqa: B018  # read now: what is wrong with them is said early
    if is_writer:
        sums = record_data(task.cfg.DATASETS.SHA256, task.data_sums(training=True), training=True)
        task.set_keys({"DATASETS.SHA256": sums})

    seed_step(seed)
    model = task.build_model()
    licence = None
    if checkpoint is None:
        if resume:
            logger.info("--resume: no checkpoint in %s yet, starting anew", output_dir)
        report = load_weights(model, task.cfg.MODEL.WEIGHTS)
        licence = None if report.licence == "none" else report.licence
    else:
        logger.info("resuming from %s", checkpoint)

    cfg = task.cfg
    metrics = MetricsFile(output_dir)
    if is_writer:
        metrics.check()
    evaluation = Evaluation(task, metrics)
    checkpointer = Checkpointer(output_dir, cfg.SOLVER.CHECKPOINT_PERIOD)
    beginning = _Beginning(task, output_dir, is_new=checkpoint is None)
    callbacks = [beginning, MetricsLogging(cfg, metrics), *task.callbacks(), checkpointer, evaluation]
    trainer = _build_trainer(task, options, callbacks)
    items_per_device(cfg, trainer.world_size, options.accumulate)

    module = TrainingModule(task, model.train(), seed, licence)
    data = TaskData(task, options.accumulate)
    trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    if not beginning.is_done:  # nothing was left to train
        logger.info("the run has all its %d iterations already: it is finished", trainer.global_step)
        beginning.on_train_start(trainer, module)
        if trainer.is_global_zero:
            metrics.open(trainer.global_step)
        if checkpoint is not None and checkpoint.name != "model_final.pth":
            checkpointer.save(trainer, "model_final.pth")
    if task.test_dataset is None:
        logger.info("DATASETS.TEST is empty: no evaluation")
        return None
    if evaluation.iteration != trainer.global_step - 1:
        trainer.validate(module, datamodule=data, verbose=False)
    return _finished(task, evaluation, module)


class _Beginning(L.Callback):
    """Writes the first files of a run, once data, weights and checkpoint are found to be in order."""

    def __init__(self, task: Task, output_dir: Path, *, is_new: bool) -> None:
        self.task = task
        self.output_dir = output_dir
        self.is_new = is_new
        self.is_done = False

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write config.yaml and the log, and forget an earlier run's checkpoint."""
        self.is_done = True
        if not trainer.is_global_zero:
            return
        begin_output(self.output_dir)
        if self.is_new:
            forget_last_checkpoint(self.output_dir)
        save_config(self.task.cfg, self.output_dir / "config.yaml")


def evaluate(task: Task, options: RunOptions) -> Any:
    """Evaluate ``MODEL.WEIGHTS`` on the test set; writes to ``OUTPUT_DIR/inference``, the config included.

    Args:
        task: what to evaluate.
        options: where and how to compute.

    Returns:
        The task's metrics.

    Raises:
        ValueError, OSError: bad config, flags, data, weights or output folder; the message says which.
        SystemExit: a SIGTERM or Ctrl-C came, or the task says so, see :meth:`Task.exit_code`.
    """
    output_dir, is_writer = prepare_output(task.cfg, options)
    with _run_in(output_dir, is_writer=is_writer):
        return _evaluate(task, options, output_dir, is_writer)


def _evaluate(task: Task, options: RunOptions, output_dir: Path, is_writer: bool) -> Any:
    cfg = task.cfg
    if is_writer:
        _examine(task, training=False)
    if task.test_dataset is None:
        raise ValueError("DATASETS.TEST is empty: name a dataset; of detectors --dataset-json and --image-root too")
    trained = read_trained(cfg.MODEL.WEIGHTS)
    task.check_classes(trained.description, cfg.MODEL.WEIGHTS, training=False)
    model = task.build_model()
    load_trained(model, trained)
    if is_writer:
        record_data(cfg.DATASETS.SHA256, task.data_sums(training=False), training=False)
        begin_output(output_dir)
    evaluation = Evaluation(task, MetricsFile(output_dir))
    checkpointer = Checkpointer(output_dir, cfg.SOLVER.CHECKPOINT_PERIOD)
    trainer = _build_trainer(task, options, [checkpointer, evaluation])
    module = TrainingModule(task, model, seed=0)
    trainer.validate(module, datamodule=TaskData(task, options.accumulate), verbose=False)
    metrics = _finished(task, evaluation, module)
    if is_writer:
        save_config(task.cfg, evaluation.folder / "config.yaml")  # beside what it gave; the run's own stays
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
        callbacks=[WatchedRanks(), ProgressBar(), *callbacks],
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


def _draw_seed(task: Task, checkpoint: Path | None) -> int:
    """Give ``SEED``, or where that is negative a random one, which the config then has.

    A resumed run whose config has none takes the checkpoint's in its place.
    """
    if task.cfg.SEED >= 0:
        return task.cfg.SEED
    seed = int.from_bytes(os.urandom(4), "little") >> 1
    if checkpoint is None:
        logger.info("SEED is %d: drew %d; config and checkpoints keep it", task.cfg.SEED, seed)
        task.set_keys({"SEED": seed})
    return seed


def _finished(task: Task, evaluation: Evaluation, module: TrainingModule) -> Any:
    if evaluation.metrics is None:  # the one reason that leaves none
        raise SystemExit(128 + module.stopped_by)
    if code := task.exit_code(evaluation.metrics):
        raise SystemExit(code)
    return evaluation.metrics
