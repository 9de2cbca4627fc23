"""Checkpoints of detectron2's trainers that say what they are, so that ``hiera_det.load`` needs nothing beside them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer
from torch import nn

from hiera_det.config import to_plain
from hiera_det.detectron2.data import check_classes, classes_of
from hiera_det.engine.finite import check_finite
from hiera_det.weights.description import Description
from hiera_det.weights.zoo import licence_of

__all__ = ["describe_checkpoints"]


def describe_checkpoints(trainer: DefaultTrainer, licence: str | None = None) -> None:
    """Have a trainer's checkpoints hold task, config and classes; call it once the trainer is built.

    From then on a checkpoint whose weights are not finite is a FloatingPointError, and is not written.

    Args:
        trainer: any ``DefaultTrainer``; its ``cfg`` has the keys of ``add_hiera_config``.
        licence: of the weights that the training begins with; None: what ``MODEL.WEIGHTS`` tells of it; "none": it
            begins with none.

    Raises:
        ValueError: the training set has another number of classes than the model, or config or classes are such as no
            checkpoint may hold.
    """
    checkpointer = trainer.checkpointer
    save = checkpointer.save.args[0] if isinstance(checkpointer.save, partial) else checkpointer.save
    entries = _description(trainer.cfg, licence).to_plain()
    checkpointer.save = partial(_save, save, checkpointer.model, entries)


def _save(save: Callable[..., None], model: nn.Module, entries: dict[str, Any], name: str, **more: Any) -> None:
    check_finite({"weights": model.state_dict()}, more.get("iteration", 0))
    save(name, **entries, **more)


def _description(cfg: CfgNode, licence: str | None) -> Description:
    names, ids = classes_of(cfg.DATASETS.TRAIN[0])
    check_classes(cfg, cfg.DATASETS.TRAIN[:1])
    classes: dict[str, Any] = {}
    if names:  # perhaps of NumPy's types, which no checkpoint may hold
        classes = {"class_names": [str(name) for name in names], "category_ids": [int(i) for i in ids]}
    if licence is None and cfg.MODEL.WEIGHTS:
        licence = licence_of(cfg.MODEL.WEIGHTS, "detectron2")
    licence = None if licence == "none" else licence
    description = Description.now(task="detection", config=to_plain(cfg), licence=licence, **classes)
    return Description.from_plain(description.to_plain(), "the trainer's config and data")  # what reading would refuse
