"""The list of what a run could not read, in evaluation and in training."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L

from hiera_det.engine.distributed import gather
from hiera_det.utils.files import write_csv

__all__ = ["FailedItems", "write_failed"]

logger = logging.getLogger(__name__)


def write_failed(path: Path, kind: str, reasons: Mapping[Any, str], total: int, *, told: bool = False) -> None:
    """List what could not be read, and log it; without any there is no list, nor one of an earlier run.

    Args:
        path: a CSV ``<kind>,reason``; its folder is made.
        kind: what was to be read, such as "clip".
        reasons: by the name of each, in the order to list them in.
        total: how many were to be read.
        told: each of them is in the log already.
    """
    if not reasons:
        path.unlink(missing_ok=True)
        return
    for reason in () if told else reasons.values():
        logger.error("not evaluated: %s", reason)
    write_csv(path, (kind, "reason"), [(name, " ".join(why.split())) for name, why in reasons.items()])
    logger.error("%d of %d %ss could not be read; listed in %s", len(reasons), total, kind, path)


class FailedItems(L.Callback):
    """Lists what a training could not read, on any rank, at each checkpoint; a resumed run goes on with the list.

    Args:
        path: see :func:`write_failed`.
        broken: by the name of each item why; the task adds to it.
        total: items of the training set.
    """

    def __init__(self, path: Path, broken: dict[str, str], total: int) -> None:
        self.path = path
        self.broken = broken
        self.total = total

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Take up the list of the run that is resumed."""
        self.broken |= checkpoint.get("failed", {})

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Gather the ranks' lists, and write them on rank 0."""
        for share in gather(self.broken):
            self.broken |= share
        checkpoint["failed"] = dict(sorted(self.broken.items()))
        if trainer.is_global_zero:
            write_failed(self.path, "item", checkpoint["failed"], self.total, told=True)
