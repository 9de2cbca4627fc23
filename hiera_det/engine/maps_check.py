"""One item of a store against the backbone, before a run believes the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning as L

__all__ = ["MapsCheck"]


class MapsCheck(L.Callback):
    """Compares once for each split, when weights are loaded and before its first batch.

    Args:
        compare: is called with the model and "TRAIN" or "TEST"; it raises ValueError where maps are not the model's.
    """

    def __init__(self, compare: Callable[[Any, str], None]) -> None:
        self.compare = compare
        self._todo = {"TRAIN", "TEST"}

    def on_train_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Both, so that a bad test store does not show after hours."""
        self._check(pl_module.model, "TRAIN")
        self._check(pl_module.model, "TEST")

    def on_validation_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        """The test store, of an evaluation alone."""
        self._check(pl_module.model, "TEST")

    def _check(self, model: Any, split: str) -> None:
        if split in self._todo:
            self._todo.remove(split)
            self.compare(model, split)
