"""Training checkpoints: one file that both detectron2 and Lightning understand, never half-written.

A file is ``{"model": state dict, "iteration": the last finished one, counted from 0, "seed", the task's metadata, ...
Lightning's own state}`` and loads with ``weights_only=True``. As in detectron2, files are
``model_0000499.pth`` and ``model_final.pth``, and the text file ``last_checkpoint`` names the latest.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins import CheckpointIO

from hiera_det.utils.files import atomic_write, remove_leftovers
from hiera_det.weights.read import read_checkpoint
from hiera_det.weights.source import POINTER

__all__ = ["AtomicCheckpointIO", "Checkpointer", "forget_last_checkpoint"]

logger = logging.getLogger(__name__)


class AtomicCheckpointIO(CheckpointIO):
    """Writes checkpoints atomically, which Lightning's own does not, and reads them with clear errors."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write ``checkpoint`` to ``path``."""
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        """Read a training checkpoint to CPU memory.

        Raises:
            ValueError: the file is truncated, or no training checkpoint.
        """
        checkpoint = read_checkpoint(Path(path))
        missing = sorted({"model", "iteration", "seed", "loops", "optimizer_states"} - set(checkpoint))
        if missing:
            raise ValueError(
                f"{path} cannot be resumed from: it lacks {missing}. It holds weights only, or another program wrote"
                f" it; start anew from its weights with MODEL.WEIGHTS {path} and without --resume"
            )
        return checkpoint

    def remove_checkpoint(self, path: Any) -> None:
        """Delete the file."""
        Path(path).unlink(missing_ok=True)


def forget_last_checkpoint(output_dir: str | Path) -> None:
    """Delete the pointer of an earlier run in the folder, so that ``--resume`` continues the new one."""
    pointer = Path(output_dir) / POINTER
    if pointer.is_file():
        name = pointer.read_text(encoding="utf-8").strip()
        logger.info("starting anew in %s: --resume no longer continues from %s of an earlier run", output_dir, name)
        pointer.unlink()


class Checkpointer(L.Callback):
    """Saves every ``period`` iterations, after the last one, and on SIGTERM, after which it ends the process.

    Args:
        output_dir: the folder to write to.
        period: iterations.
    """

    def __init__(self, output_dir: str | Path, period: int) -> None:
        self.output_dir = Path(output_dir)
        self.period = period

    def on_train_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Listen for SIGTERM; clear away what a killed run left half-written."""
        _listen(pl_module)
        if trainer.is_global_zero:
            remove_leftovers(self.output_dir)

    def on_validation_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Listen for SIGTERM during an evaluation too."""
        _listen(pl_module)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Save if it is time; on SIGTERM, which all ranks learn of in the same iteration, save and exit."""
        iteration = trainer.global_step - 1
        if iteration + 1 == trainer.max_steps:
            self._save(trainer, "model_final.pth")
        elif pl_module.interrupted_anywhere or (iteration + 1) % self.period == 0:
            self._save(trainer, f"model_{iteration:07d}.pth")
        if pl_module.interrupted_anywhere:
            logger.warning(
                "stopped by SIGTERM after iteration %d; its checkpoint is written: continue with --resume",
                iteration,
            )
            raise SystemExit(128 + signal.SIGTERM)

    def _save(self, trainer: L.Trainer, name: str) -> None:
        trainer.save_checkpoint(self.output_dir / name)
        if trainer.is_global_zero:
            with atomic_write(self.output_dir / POINTER) as temporary:
                temporary.write_text(name, encoding="utf-8")
            logger.info("saved %s", self.output_dir / name)


def _listen(module: Any) -> None:
    """Note a SIGTERM in ``module.interrupted``, in place of Lightning's handler, which would lose the iteration."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: setattr(module, "interrupted", True))
