"""What happens around the training steps: metrics, log lines, progress bar."""

from __future__ import annotations

import datetime
import logging
import sys
import time
from typing import Any

import lightning as L
import torch
from fvcore.common.config import CfgNode
from lightning.pytorch.callbacks import TQDMProgressBar

from hiera_det.engine.loggers import build_loggers
from hiera_det.engine.metrics import MetricsFile
from hiera_det.engine.rank_watch import RankWatch

__all__ = ["LOG_PERIOD", "MetricsLogging", "ProgressBar", "WatchedRanks"]

logger = logging.getLogger(__name__)

LOG_PERIOD = 20  # iterations between lines in log.txt and points of loggers, as in detectron2


class MetricsLogging(L.Callback):
    """Writes losses, rates and times: every iteration to metrics.json, every 20th to the log and to the loggers.

    Args:
        cfg: whose ``LOGGERS`` are begun with the training.
        metrics: the file; used on rank 0 alone.
    """

    def __init__(self, cfg: CfgNode, metrics: MetricsFile) -> None:
        self.cfg = cfg
        self.metrics = metrics
        self._data_seconds = 0.0
        self._step_began = self._batch_ended = self._began = time.perf_counter()
        self._paused = 0.0
        self._first_iteration = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Open the file and the loggers at the iteration to come."""
        self._first_iteration = trainer.global_step
        if trainer.is_global_zero:
            self.metrics.open(trainer.global_step)
            trainer.loggers = build_loggers(self.cfg, trainer.global_step)
        self._step_began = self._batch_ended = self._began = time.perf_counter()

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Measure the wait for data."""
        self._data_seconds += time.perf_counter() - self._batch_ended

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Leave the evaluation out of the iterations' times."""
        self._paused += time.perf_counter() - self._batch_ended
        self._step_began = self._batch_ended = time.perf_counter()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Write the iteration."""
        now, iteration = time.perf_counter(), trainer.global_step - 1
        left = trainer.max_steps - trainer.global_step
        done = trainer.global_step - self._first_iteration
        values = {
            **pl_module.losses,
            "lr": pl_module.learning_rate,
            "time": now - self._step_began,
            "data_time": self._data_seconds,
            "eta_seconds": (now - self._began - self._paused) / done * left,
        }
        self._step_began, self._data_seconds = now, 0.0
        if trainer.is_global_zero:
            self.metrics.write({"iteration": iteration, **values})
            if trainer.global_step % LOG_PERIOD == 0 or left == 0:
                for its in trainer.loggers:
                    its.log_metrics(values, iteration)
                _log_line(pl_module, iteration, values)
        self._batch_ended = time.perf_counter()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Leave a line in the log of a Ctrl-C, which Lightning does not pass on."""
        if isinstance(exception, KeyboardInterrupt):
            logger.error("stopped by KeyboardInterrupt")


def _log_line(module: Any, iteration: int, values: dict[str, float]) -> None:
    eta = datetime.timedelta(seconds=round(values["eta_seconds"]))
    losses = "  ".join(f"{name}: {value:.4g}" for name, value in module.losses.items())
    memory = f"  max_mem: {torch.cuda.max_memory_allocated() / 2**20:.0f}M" if torch.cuda.is_available() else ""
    logger.info(
        "eta: %s  iter: %d  %s  time: %.4f  data_time: %.4f  lr: %.5g%s",
        *(eta, iteration, losses, values["time"], values["data_time"], values["lr"], memory),
    )


class ProgressBar(TQDMProgressBar):
    """Counts iterations up to ``SOLVER.MAX_ITER``; only on a terminal: elsewhere the log lines say as much."""

    def __init__(self) -> None:
        super().__init__(refresh_rate=LOG_PERIOD if sys.stdout.isatty() else 0)

    @property
    def total_train_batches(self) -> int:
        """All of the run, what an earlier part of it has done included."""
        return self.trainer.max_steps

    def on_train_epoch_start(self, trainer: L.Trainer, *_: Any) -> None:
        """Start the bar at the resumed iteration, so that its rate and its estimate are this run's."""
        self.train_progress_bar.reset(self.total_train_batches)
        self.train_progress_bar.n = self.train_progress_bar.initial = trainer.global_step
        self.train_progress_bar.set_description("training")

    def get_metrics(self, trainer: L.Trainer, pl_module: Any) -> dict[str, Any]:
        """The total loss."""
        return {"loss": f"{pl_module.losses.get('total_loss', float('nan')):.3f}"}


class WatchedRanks(L.Callback):
    """Ends all ranks when one dies or fails, by a :class:`~hiera_det.engine.rank_watch.RankWatch`."""

    def __init__(self) -> None:
        self._watch: RankWatch | None = None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Begin."""
        if trainer.world_size > 1:
            self._watch = RankWatch()

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Say that this rank is through."""
        self._leave(None)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Say that this rank has failed, or is asked to stop."""
        self._leave(exception)

    def _leave(self, error: BaseException | None) -> None:
        if self._watch is not None:
            self._watch.leave(error)
            self._watch = None
