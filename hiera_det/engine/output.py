"""The output folder of a run, with a log in it."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import lightning as L
import torch
from fvcore.common.config import CfgNode
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from hiera_det.engine.options import RunOptions
from hiera_det.utils.files import make_folder
from hiera_det.utils.logs import StderrHandler, set_handlers

__all__ = ["is_rank_zero", "prepare_output"]

logger = logging.getLogger(__name__)


def prepare_output(cfg: CfgNode, options: RunOptions) -> tuple[Path, bool]:
    """Make the output folder and begin its log; say whether this process is the one that writes there.

    Raises:
        OSError: it cannot be written to.
    """
    folder = make_folder(cfg.OUTPUT_DIR, "OUTPUT_DIR")
    is_writer = options.machine_rank == 0 and is_rank_zero()
    _log_to(folder / "log.txt" if is_writer else None)
    logger.info("torch %s, lightning %s; output in %s", torch.__version__, L.__version__, folder)
    return folder, is_writer


def is_rank_zero() -> bool:
    """Whether this process is Lightning's rank 0; it can be told before the ranks have come together too."""
    return getattr(rank_zero_only, "rank", 0) == 0


def _log_to(path: Path | None) -> None:
    """Log on rank 0 to stderr, and to a file with tracebacks; the other ranks, with no path, show warnings alone."""
    handlers: list[logging.Handler] = [StderrHandler()]
    if path is not None:
        handlers.append(logging.FileHandler(path, encoding="utf-8"))
    for handler in handlers:
        handler.setFormatter(logging.Formatter("[%(asctime)s %(name)s] %(levelname)s: %(message)s", "%m/%d %H:%M:%S"))
    set_handlers(handlers, logging.WARNING if path is None else logging.DEBUG)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    # Lightning's advice on worker counts, which are the user's, and its own use of torch's deprecated names.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
