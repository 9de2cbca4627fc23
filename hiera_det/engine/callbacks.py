"""What happens around the training steps: records, log lines, progress bar."""

from __future__ import annotations

import datetime
import logging
import sys
import time
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import TQDMProgressBar

from hiera_det.engine.metrics import Records

__all__ = ["LOG_PERIOD", "ProgressBar", "Recorder", "StepCallback"]

logger = logging.getLogger(__name__)

LOG_PERIOD = 20  # iterations between lines in log.txt and points in TensorBoard, as in detectron2


class StepCallback(L.Callback):
    """Calls ``after_step`` once per optimizer step, with the number of the iteration that it ended, from 0."""

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Pass the end of a step on."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            self.after_step(trainer, pl_module, trainer.global_step - 1)

    def after_step(self, trainer: L.Trainer, module: Any, iteration: int) -> None:
        """To be overridden."""
        raise NotImplementedError


class Recorder(StepCallback):
    """Writes every iteration to ``metrics.json``, every 20th to the log and to TensorBoard.

    Args:
        records: where to; used on rank 0 alone.
    """

    def __init__(self, records: Records) -> None:
        self.records = records
        self._data_seconds = 0.0
        self._step_began = self._batch_ended = self._began = time.perf_counter()
        self._paused = 0.0
        self._first_iteration = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Open the records at the iteration to come."""
        self._first_iteration = trainer.global_step
        if trainer.is_global_zero:
            self.records.open(trainer.global_step)
        self._step_began = self._batch_ended = self._began = time.perf_counter()

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Measure the wait for data."""
        self._data_seconds += time.perf_counter() - self._batch_ended

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Record the step when it is complete."""
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        self._batch_ended = time.perf_counter()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """An evaluation is no part of an iteration's time."""
        self._paused += time.perf_counter() - self._batch_ended
        self._step_began = self._batch_ended = time.perf_counter()

    def after_step(self, trainer: L.Trainer, module: Any, iteration: int) -> None:
        """Record one iteration."""
        now = time.perf_counter()
        done = iteration + 1 - self._first_iteration
        left = trainer.max_steps - iteration - 1
        record = {
            "iteration": iteration,
            **module.losses,
            "lr": module.learning_rate,
            "time": now - self._step_began,
            "data_time": self._data_seconds,
            "eta_seconds": (now - self._began - self._paused) / done * left,
        }
        self._step_began, self._data_seconds = now, 0.0
        if not trainer.is_global_zero:
            return
        regular = (iteration + 1) % LOG_PERIOD == 0 or left == 0
        self.records.write(record, to_tensorboard=regular)
        if regular:
            eta = datetime.timedelta(seconds=round(record["eta_seconds"]))
            losses = "  ".join(f"{name}: {value:.4g}" for name, value in module.losses.items())
            logger.info(
                "eta: %s  iter: %d  %s  time: %.4f  data_time: %.4f  lr: %.5g%s",
                *(eta, iteration, losses, record["time"], record["data_time"], record["lr"], _memory()),
            )

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Flush."""
        self.records.flush()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Flush; a Ctrl-C, which Lightning does not pass on, leaves a line in the log."""
        self.records.flush()
        if isinstance(exception, KeyboardInterrupt):
            logger.error("stopped by KeyboardInterrupt")


def _memory() -> str:
    if not torch.cuda.is_available():
        return ""
    return f"  max_mem: {torch.cuda.max_memory_allocated() / 2**20:.0f}M"


class ProgressBar(TQDMProgressBar):
    """Counts batches up to ``SOLVER.MAX_ITER``; only on a terminal: elsewhere the log lines say as much."""

    def __init__(self) -> None:
        super().__init__(refresh_rate=LOG_PERIOD if sys.stdout.isatty() else 0)

    @property
    def total_train_batches(self) -> int:
        """All of the run, what an earlier part of it has done included."""
        return self.trainer.max_steps * self.trainer.accumulate_grad_batches

    def on_train_epoch_start(self, trainer: L.Trainer, *_: Any) -> None:
        """Start the bar at the resumed iteration, so that its rate and its estimate are this run's."""
        done = trainer.global_step * trainer.accumulate_grad_batches
        self.train_progress_bar.reset(self.total_train_batches)
        self.train_progress_bar.n = self.train_progress_bar.initial = done
        self.train_progress_bar.set_description("training")

    def get_metrics(self, trainer: L.Trainer, pl_module: Any) -> dict[str, Any]:
        """The total loss."""
        return {"loss": f"{pl_module.losses.get('total_loss', float('nan')):.3f}"}
