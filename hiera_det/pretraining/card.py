"""The card of a pretrained model: what it is, how it was trained, how to use it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import lightning as L
from huggingface_hub import ModelCard, ModelCardData

import hiera_det
from hiera_det.engine.task import Task
from hiera_det.utils.escape import markdown
from hiera_det.utils.files import atomic_write

__all__ = ["CardWriter"]

logger = logging.getLogger(__name__)

_CARD = """---
{{ card_data }}
---

# {{ variant }}, pretrained as a masked autoencoder

A [Hiera](https://arxiv.org/abs/2306.00989) with the decoder that it was trained with, written by hiera_det
{{ version }}. It was trained without labels on {{ items }} {{ kind }} for {{ iterations }} iterations of {{ crops }}
crops of {{ size }} pixels; {{ ratio }} of the mask units were dropped, and the target was {{ target }}. The last loss
was {{ loss }}. `config.yaml` has the rest, and so has the checkpoint itself.

Detectors, action detectors and extractors of hiera_det, of the same variant, take it as `MODEL.WEIGHTS`.

    hiera-det info model_final.pth
    hiera-det convert model_final.pth hiera.pth --to original

Licence of the weights that the training began with: {{ licence }}. {{ yours }}
"""


class CardWriter(L.Callback):
    """Writes ``README.md`` to the output folder when a training has come to its end.

    Args:
        task: that was trained.
        items: images or clips of the training set.
        kind: "images" or "clips".
    """

    def __init__(self, task: Task, items: int, kind: str) -> None:
        self.task = task
        self.items = items
        self.kind = kind

    def on_train_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Write the card."""
        if not trainer.is_global_zero:
            return
        cfg = self.task.cfg
        path = Path(cfg.OUTPUT_DIR) / "README.md"
        if path.is_file() and "library_name: hiera_det" not in path.read_text(encoding="utf-8", errors="replace"):
            logger.warning("%s is there and stays: the model's card is not written", path)
            return
        mae, began_with = cfg.MODEL.MAE, pl_module.licence
        target = f"{'normalised ' if mae.NORMALIZE_TARGET else ''}pixels" if mae.TARGET == "pixel" else "HOG"
        card = ModelCard.from_template(
            ModelCardData(library_name="hiera_det", tags=["hiera", "masked-autoencoder"]),
            template_str=_CARD,
            variant=cfg.MODEL.HIERA.NAME,
            version=hiera_det.__version__,
            items=self.items,
            kind=self.kind,
            iterations=trainer.global_step,
            crops=cfg.SOLVER.IMS_PER_BATCH * cfg.INPUT.REPEATS,
            size=" x ".join(map(str, cfg.INPUT.SIZE)),
            ratio=f"{mae.MASK_RATIO:.0%}",
            target=target,
            loss=f"{pl_module.losses['total_loss']:.4f}",
            licence=markdown(began_with) if began_with else "none noted",
            yours="" if began_with else "That of these weights is yours to choose, as far as the data's allows.",
        )
        with atomic_write(path) as temporary:
            temporary.write_text(card.content, encoding="utf-8")
