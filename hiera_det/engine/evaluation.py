"""Evaluation over all ranks: results gathered, checked to be complete, judged by the task."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import lightning as L

from hiera_det.engine.distributed import from_rank_zero, gather
from hiera_det.engine.metrics import MetricsFile
from hiera_det.engine.task import Task

__all__ = ["Evaluation"]

logger = logging.getLogger(__name__)


class Evaluation(L.Callback):
    """Gathers what the ranks found, and writes the task's metrics to ``<output>/inference``, the log and the loggers.

    Args:
        task: that judges.
        metrics: to whose last line the metrics are added.

    Attributes:
        metrics: of the last evaluation, on every rank; None if it was interrupted.
        iteration: after which the last evaluation took place.
    """

    def __init__(self, task: Task, metrics: MetricsFile) -> None:
        self.task = task
        self.file = metrics
        self.folder = Path(task.cfg.OUTPUT_DIR) / "inference"
        self.metrics: Any = None
        self.iteration = -1
        self._results: list[tuple[Any, Any]] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Make up for the evaluation that was due at the resumed iteration, if a kill prevented it."""
        period = self.task.cfg.TEST.EVAL_PERIOD
        due = period > 0 and trainer.global_step > 0 and trainer.global_step % period == 0
        if (
            trainer.limit_val_batches == 0
            or not due
            or from_rank_zero(trainer.global_rank, lambda: self.file.has_evaluation)
        ):
            return
        logger.info("the evaluation after %d iterations was not finished: doing it now", trainer.global_step)
        loop = trainer.fit_loop.epoch_loop.val_loop
        loop.restarting = False  # it begins anew, wherever an earlier one was when the checkpoint was written
        trainer.validating = True  # as Lightning's loop does when it is time
        loop.run()
        trainer.training = True

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begin anew."""
        self._results = []
        self.task.start_evaluation()

    def on_validation_batch_end(
        self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Keep what a batch gave."""
        if not pl_module.interrupted:
            self._results += self.task.results_of(batch, outputs)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Gather the ranks' results and judge them on rank 0.

        Raises:
            RuntimeError: an item was lost or came twice.
        """
        self.iteration, self.metrics = trainer.global_step - 1, None
        shares = gather((self._results, pl_module.interrupted))
        self._results = []
        self.metrics = from_rank_zero(trainer.global_rank, lambda: self._judge(trainer, shares))
        pl_module.interrupted_anywhere |= self.metrics is None

    def _judge(self, trainer: L.Trainer, shares: list[tuple[list[tuple[Any, Any]], bool]]) -> Any:
        """Judge the shares of all ranks; None: a rank was interrupted."""
        if any(interrupted for _, interrupted in shares):
            logger.warning("evaluation abandoned: the run is to stop")
            return None
        results = [result for share, _ in shares for result in share]
        _check_complete((name for name, _ in results), self.task.test_ids())
        metrics = self.task.judge(dict(results), self.folder)
        after = f" after {self.iteration + 1} iterations" if self.iteration >= 0 else ""
        logger.info("evaluation%s:\n%s", after, self.task.table(metrics))
        scalars = self.task.scalars(metrics)
        for its in trainer.loggers:
            its.log_metrics({k: v for k, v in scalars.items() if not math.isnan(v)}, max(self.iteration, 0))
        self.task.draw(self.folder)
        # Last: a resumed run does again what is not finished.
        self.file.amend({name: None if math.isnan(value) else value for name, value in scalars.items()})
        return metrics


def _check_complete(seen: Iterable[Any], expected: Iterable[Any]) -> None:
    lost, extra = Counter(expected), Counter(seen)
    lost, extra = lost - extra, extra - lost
    if lost or extra:
        raise RuntimeError(
            f"the evaluated items are not those of the test set: {len(lost)} lost (such as {list(lost)[:5]}),"
            f" {len(extra)} too many (such as {list(extra)[:5]})"
        )
