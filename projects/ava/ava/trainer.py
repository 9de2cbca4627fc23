"""A run: training with evaluation, or evaluation alone, from a config and launch flags."""

from __future__ import annotations

import logging
from pathlib import Path

from fvcore.common.config import CfgNode
from hiera_det.projects.ava.callback import ActionEvaluation
from hiera_det.projects.ava.datamodule import AvaData
from hiera_det.projects.ava.evaluation import PROTOCOLS, Result
from hiera_det.projects.ava.model import build_model
from hiera_det.projects.ava.module import ActionModule, check_label_map

from hiera_det.config import save_config
from hiera_det.engine.callbacks import Recorder
from hiera_det.engine.checkpoint import Checkpointer, forget_last_checkpoint, last_checkpoint
from hiera_det.engine.metrics import Records
from hiera_det.engine.module import seed_step
from hiera_det.engine.options import Launch, images_per_batch
from hiera_det.engine.run import build_trainer, draw_seed, errors_in_log, prepare_output
from hiera_det.weights.load import load_trained, load_weights

__all__ = ["evaluate", "train"]

logger = logging.getLogger(__name__)


@errors_in_log()
def train(cfg: CfgNode, launch: Launch, *, resume: bool = False) -> Result:
    """Train to ``SOLVER.MAX_ITER``, evaluating on the way and at the end; all output goes to ``OUTPUT_DIR``.

    Args:
        cfg: the config.
        launch: where and how to compute.
        resume: continue from ``OUTPUT_DIR/last_checkpoint``, if there is one, exactly as if never interrupted.

    Raises:
        ValueError, OSError: bad config, flags, data, weights or output folder; the message says which.
        FloatingPointError: the loss is not finite.
        SystemExit: a SIGTERM came, and a checkpoint is written; or with ``TEST.STRICT`` a test clip was broken.
    """
    _check(cfg)
    output_dir, first = prepare_output(cfg, launch, ("hiera_det", "ava"))
    if first:
        save_config(cfg, output_dir / "config.yaml")
    checkpoint = last_checkpoint(output_dir) if resume else None
    seed = draw_seed(cfg, checkpoint)
    data = AvaData(cfg)
    logger.info("training on %d keyframes, testing on %d", len(data.train_dataset), len(data.test_dataset))

    seed_step(seed)
    model = build_model(cfg, len(data.label_map))
    if checkpoint is None:
        load_weights(model, cfg.MODEL.WEIGHTS)
    else:
        logger.info("resuming from %s", checkpoint)

    records = Records(output_dir)
    evaluation = ActionEvaluation(cfg, records)
    checkpointer = Checkpointer(output_dir, cfg.SOLVER.CHECKPOINT_PERIOD)
    callbacks = [Recorder(records), checkpointer, evaluation]
    trainer = build_trainer(cfg, launch, callbacks, with_test=True)
    images_per_batch(cfg, trainer.world_size, launch.accumulate)
    if checkpoint is None and trainer.is_global_zero:
        forget_last_checkpoint(output_dir)
    module = ActionModule(model.train(), cfg, seed)
    trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    if evaluation.iteration != trainer.global_step - 1:
        trainer.validate(module, datamodule=data, verbose=False)
    return _finished(cfg, evaluation)


@errors_in_log()
def evaluate(cfg: CfgNode, launch: Launch) -> Result:
    """Evaluate ``MODEL.WEIGHTS`` on ``DATASETS.TEST``; writes to ``OUTPUT_DIR/inference``, the config included.

    Args:
        cfg: the config.
        launch: where and how to compute.

    Raises:
        ValueError, OSError: bad config, flags, data, weights or output folder; the message says which.
        SystemExit: a SIGTERM came, or with ``TEST.STRICT`` a clip was broken.
    """
    _check(cfg)
    output_dir, first = prepare_output(cfg, launch, ("hiera_det", "ava"))
    data = AvaData(cfg)
    model = build_model(cfg, len(data.label_map))
    check_label_map(load_trained(model, cfg.MODEL.WEIGHTS), data.label_map)
    evaluation = ActionEvaluation(cfg, Records(output_dir))
    callbacks = [Checkpointer(output_dir, cfg.SOLVER.CHECKPOINT_PERIOD), evaluation]
    trainer = build_trainer(cfg, launch, callbacks, with_test=True)
    trainer.validate(ActionModule(model, cfg, seed=0), datamodule=data, verbose=False)
    result = _finished(cfg, evaluation)
    if first:
        save_config(cfg, Path(cfg.OUTPUT_DIR) / "inference" / "config.yaml")
    return result


def _finished(cfg: CfgNode, evaluation: ActionEvaluation) -> Result:
    if evaluation.result is None:  # the one reason that leaves none
        raise SystemExit(143)
    if evaluation.broken and cfg.TEST.STRICT:
        logger.error("%d clips could not be read, and TEST.STRICT is on", len(evaluation.broken))
        raise SystemExit(1)
    return evaluation.result


def _check(cfg: CfgNode) -> None:
    if cfg.TEST.PROTOCOL not in PROTOCOLS:
        raise ValueError(f"TEST.PROTOCOL is {cfg.TEST.PROTOCOL!r}; expected one of {', '.join(PROTOCOLS)}")
