"""Training checkpoints: one file that both detectron2 and Lightning understand, never half-written.

A file is ``{"model": state dict, "iteration": the last finished one, counted from 0, "seed", the task's metadata, ...
Lightning's own state}`` and loads with ``weights_only=True``. As in detectron2, files are
``model_0000499.pth`` and ``model_final.pth``, and the text file ``last_checkpoint`` names the latest.
"""

from __future__ import annotations

import logging
import signal
import threading
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins import CheckpointIO

from hiera_det.engine.training_state import check_training_state
from hiera_det.utils.files import atomic_write
from hiera_det.weights.read import read_checkpoint
from hiera_det.weights.source import POINTER

__all__ = ["AtomicCheckpointIO", "Checkpointer", "forget_last_checkpoint"]

logger = logging.getLogger(__name__)


class AtomicCheckpointIO(CheckpointIO):
    """Writes checkpoints atomically, which Lightning's own does not, and reads them with clear errors."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write ``checkpoint`` to ``path``.

        Raises:
            OSError: the disk is full.
        """
        with atomic_write(path, durable=True) as temporary, temporary.open("wb") as file:
            torch.save(checkpoint, file)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        """Read a training checkpoint to CPU memory.

        Raises:
            ValueError: the file is truncated, or no training checkpoint.
        """
        checkpoint = read_checkpoint(Path(path))
        check_training_state(checkpoint, path)
        return checkpoint

    def remove_checkpoint(self, path: Any) -> None:
        """Delete the file."""
        Path(path).unlink(missing_ok=True)


def forget_last_checkpoint(output_dir: str | Path) -> None:
    """Delete the pointer of an earlier run in the folder, so that ``--resume`` continues the new one."""
    pointer = Path(output_dir) / POINTER
    if pointer.is_file():
        name = pointer.read_text(encoding="utf-8", errors="replace").strip()
        logger.info("starting anew in %s: --resume no longer continues from %r of an earlier run", output_dir, name)
        pointer.unlink()


class Checkpointer(L.Callback):
    """Saves every ``period`` iterations, after the last one, and when it is asked to stop, after which it does.

    Args:
        output_dir: the folder to write to.
        period: iterations.
    """

    def __init__(self, output_dir: str | Path, period: int) -> None:
        self.output_dir = Path(output_dir)
        self.period = period
        self._saved = -1  # iteration

    def on_train_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Listen for SIGTERM and Ctrl-C."""
        _listen(pl_module)

    def on_validation_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Listen during an evaluation too."""
        _listen(pl_module)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Save if it is time; when asked to stop, which all ranks learn of in the same iteration, save and exit."""
        iteration = trainer.global_step - 1
        if iteration + 1 == trainer.max_steps:
            self.save(trainer, "model_final.pth")
        elif pl_module.interrupted_anywhere or (iteration + 1) % self.period == 0:
            self.save(trainer, f"model_{iteration:07d}.pth")
        if pl_module.interrupted_anywhere:
            self._stop(pl_module, iteration)

    def on_validation_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Save and exit where a training's evaluation was abandoned: it is done when the run is resumed."""
        if trainer.state.fn == "fit" and pl_module.interrupted_anywhere:
            iteration = trainer.global_step - 1
            if self._saved != iteration:
                self.save(trainer, f"model_{iteration:07d}.pth")
            self._stop(pl_module, iteration)

    def _stop(self, module: Any, iteration: int) -> None:
        logger.warning(
            "stopped by %s after iteration %d; its checkpoint is written: continue with --resume",
            *(module.stopped_by.name, iteration),
        )
        raise SystemExit(128 + module.stopped_by)

    def save(self, trainer: L.Trainer, name: str) -> None:
        """Write a checkpoint, and its name to ``last_checkpoint``.

        Raises:
            FloatingPointError: weights or the optimizer's state are not finite.
            OSError: the disk is full.
        """
        trainer.save_checkpoint(self.output_dir / name)
        self._saved = trainer.global_step - 1
        if trainer.is_global_zero:
            with atomic_write(self.output_dir / POINTER, durable=True) as temporary:
                temporary.write_text(name, encoding="utf-8")
            logger.info("saved %s", self.output_dir / name)


def _listen(module: Any) -> None:
    """Note a SIGTERM or Ctrl-C in ``module.interrupted``, in place of Lightning's handlers, which lose the iteration.

    A second Ctrl-C ends the process at once.
    """
    if threading.current_thread() is not threading.main_thread():
        return

    def note(number: int, _: Any) -> None:
        module.interrupted = number
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGTERM, note)
    if not module.interrupted and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as in the background
        signal.signal(signal.SIGINT, note)
