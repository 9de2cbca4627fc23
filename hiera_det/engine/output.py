"""The output folder of a run, with a log in it."""

from __future__ import annotations

import logging
import sys
import warnings
from logging.handlers import MemoryHandler
from pathlib import Path

import lightning as L
import torch
from fvcore.common.config import CfgNode
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from hiera_det.engine.options import RunOptions
from hiera_det.utils.files import make_folder, remove_leftovers
from hiera_det.utils.logs import LineFormatter, StderrHandler, set_handlers
from hiera_det.utils.regular import check_regular

__all__ = ["begin_output", "end_log", "is_rank_zero", "prepare_output"]

logger = logging.getLogger(__name__)

_FORMATTER = LineFormatter("[%(asctime)s %(name)s] %(levelname)s: %(message)s", "%m/%d %H:%M:%S")
_LOG = "log.txt"
_WRITTEN = ("", "inference", "inference/pictures", "pictures")  # folders that a run writes to
_MOST_LINES = 100_000  # of a log in memory


def prepare_output(cfg: CfgNode, options: RunOptions) -> tuple[Path, bool]:
    """Make the output folder and begin a log; say whether this process is the one that writes there.

    The log is kept in memory until :func:`begin_output`: a run whose checks fail changes nothing in another's folder.

    Raises:
        OSError: it cannot be written to.
    """
    folder = make_folder(cfg.OUTPUT_DIR, "OUTPUT_DIR")
    if (log := folder / _LOG).exists():
        check_regular(log)
    is_writer = options.machine_rank == 0 and is_rank_zero()
    _log_to(is_writer)
    logger.info("torch %s, lightning %s; output in %s", torch.__version__, L.__version__, folder)
    return folder, is_writer


def begin_output(folder: Path) -> None:
    """Write the log to ``log.txt`` of the folder from now on, and what it has so far; on other ranks do nothing.

    What a killed run left half-written is cleared away.
    """
    package = logging.getLogger("hiera_det")
    for handler in package.handlers[:]:
        if isinstance(handler, MemoryHandler):
            file = _LogFile(folder / _LOG)
            handler.setTarget(file)
            handler.close()  # which writes what it has
            package.removeHandler(handler)
            package.addHandler(file)
            for written in (folder / name for name in _WRITTEN):
                if written.is_dir():
                    remove_leftovers(written)


def end_log() -> None:
    """Close the log's file, or drop what was kept for it; what comes after a run is shown on stderr alone."""
    package = logging.getLogger("hiera_det")
    for handler in package.handlers[:]:
        if isinstance(handler, MemoryHandler | _LogFile):
            handler.close()
            package.removeHandler(handler)


class _LogFile(logging.FileHandler):
    """A file of log lines with tracebacks; where it cannot be written any more, that is said once."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8", errors="backslashreplace")
        self.setFormatter(_FORMATTER)
        self._told = False

    def handleError(self, record: logging.LogRecord) -> None:  # logging's name
        error = sys.exc_info()[1]
        if not self._told and isinstance(error, OSError):
            self._told = True
            print(f"warning: {self.baseFilename} cannot be written any more: {error.strerror}", file=sys.stderr)


def is_rank_zero() -> bool:
    """Whether this process is Lightning's rank 0; it can be told before the ranks have come together too."""
    return getattr(rank_zero_only, "rank", 0) == 0


def _log_to(is_writer: bool) -> None:
    """Log on rank 0 to stderr and, in full, to memory; the other ranks show warnings alone."""
    shown = StderrHandler()
    shown.setFormatter(_FORMATTER)
    if is_writer:
        set_handlers([shown, MemoryHandler(_MOST_LINES, logging.CRITICAL + 1)], logging.DEBUG)
    else:
        set_handlers([shown], logging.WARNING)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    # Lightning's advice on worker counts, which are the user's, and its own use of torch's deprecated names.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
