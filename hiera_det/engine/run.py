"""What every run has: an output folder with a log in it, a seed, Lightning's trainer."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import lightning as L
import torch
from fvcore.common.config import CfgNode
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from hiera_det.engine.callbacks import ProgressBar
from hiera_det.engine.checkpoint import AtomicCheckpointIO
from hiera_det.engine.devices import placement, precision
from hiera_det.engine.options import Launch
from hiera_det.utils.files import make_folder

__all__ = ["build_trainer", "draw_seed", "errors_in_log", "prepare_output"]

logger = logging.getLogger(__name__)


@contextmanager
def errors_in_log() -> Iterator[None]:
    """The traceback of an error goes to log.txt; on stderr the caller says what it will."""
    try:
        yield
    except Exception:
        logger.debug("stopped by an error", exc_info=True)
        raise


def build_trainer(cfg: CfgNode, launch: Launch, callbacks: Sequence[L.Callback], *, with_test: bool) -> L.Trainer:
    """Lightning's trainer for `SOLVER.MAX_ITER` optimizer steps, evaluating every `TEST.EVAL_PERIOD`.

    Args:
        cfg: the config.
        launch: where and how to compute.
        callbacks: besides the progress bar.
        with_test: whether there is anything to evaluate on.

    Raises:
        ValueError: config and flags contradict each other or the machine.
    """
    place = placement(cfg, launch)
    iterations = cfg.SOLVER.MAX_ITER
    return L.Trainer(
        **place,
        precision=precision(cfg, launch, place["accelerator"]),
        max_steps=iterations,
        max_epochs=-1,
        accumulate_grad_batches=launch.accumulate,
        # Counted in batches. With no period: past the end.
        val_check_interval=(cfg.TEST.EVAL_PERIOD or iterations + 1) * launch.accumulate,
        check_val_every_n_epoch=None,
        limit_val_batches=None if with_test else 0,
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


def draw_seed(cfg: CfgNode, checkpoint: Path | None) -> int:
    """`SEED`, or where that is negative a random one; a resumed run takes the checkpoint's in its place."""
    if cfg.SEED >= 0:
        return cfg.SEED
    seed = int.from_bytes(os.urandom(4), "little") >> 1
    if checkpoint is None:
        logger.info("SEED is %d: drew %d; checkpoints keep it", cfg.SEED, seed)
    return seed


def prepare_output(cfg: CfgNode, launch: Launch, packages: Sequence[str] = ("hiera_det",)) -> tuple[Path, bool]:
    """The output folder, with a log of these packages in it, and whether this process is the one that writes there.

    Raises:
        OSError: it cannot be written to.
    """
    folder = make_folder(cfg.OUTPUT_DIR, "OUTPUT_DIR")
    first = launch.machine_rank == 0 and getattr(rank_zero_only, "rank", 0) == 0
    _log_to(folder / "log.txt" if first else None, packages)
    logger.info("torch %s, lightning %s; output in %s", torch.__version__, L.__version__, folder)
    return folder, first


def _log_to(path: Path | None, packages: Sequence[str]) -> None:
    """Rank 0 logs to stderr, and to a file with tracebacks; the other ranks, with no path, show warnings alone."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    handlers[0].setLevel(logging.INFO)
    if path is not None:
        handlers.append(logging.FileHandler(path, encoding="utf-8"))
    for handler in handlers:
        handler.setFormatter(logging.Formatter("[%(asctime)s %(name)s] %(levelname)s: %(message)s", "%m/%d %H:%M:%S"))
    for package in map(logging.getLogger, packages):
        for handler in package.handlers[:]:
            handler.close()
            package.removeHandler(handler)
        for handler in handlers:
            package.addHandler(handler)
        package.setLevel(logging.WARNING if path is None else logging.DEBUG)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    # Lightning's advice on worker counts, which are the user's, and its own use of torch's deprecated names.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
