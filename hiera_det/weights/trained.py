"""Whole trained models, heads included: what evaluation and prediction need."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from hiera_det.config import CfgNode, config_from, load_config
from hiera_det.weights.config_json import read_config
from hiera_det.weights.description import Description
from hiera_det.weights.formats import unwrapped
from hiera_det.weights.load import load_state
from hiera_det.weights.read import read_checkpoint, some_keys, state_dict_of
from hiera_det.weights.source import local_file

__all__ = ["TrainedModel", "config_of", "find_trained", "load_trained", "read_any", "read_trained"]

logger = logging.getLogger(__name__)

_HEADS = {
    "proposal_generator.": "detection",
    "roi_heads.": "detection",
    "head.proj.": "actions",
    "decoder_pred.": "pretraining",
}


@dataclass(frozen=True)
class TrainedModel:
    """What a training run wrote, or ``save_pretrained``.

    Attributes:
        source: the file.
        state: the model's state dict, under detectron2's names for a detector, without what wrappers put before them.
        description: what the file says of the model; its task is told by the weights where the file does not.
    """

    source: str
    state: dict[str, Tensor]
    description: Description

    @property
    def task(self) -> str:
        """What it does: "detection", "actions" or "pretraining"."""
        assert self.description.task is not None
        return self.description.task


def read_trained(source: str | os.PathLike[str]) -> TrainedModel:
    """Read a model that was trained by a run, heads included.

    Args:
        source: see :func:`~hiera_det.weights.source.local_file`; a file of `{"model": ...}`, or a folder or repository
            that ``save_pretrained`` wrote.

    Raises:
        FileNotFoundError: the file cannot be had.
        ValueError: no file is named, it holds no whole model, or what it says of it makes no sense.
    """
    source = os.fspath(source)
    if source == "":
        raise ValueError("MODEL.WEIGHTS is empty; name a trained checkpoint, such as output/model_final.pth")
    path = local_file(source)
    checkpoint = read_checkpoint(path)
    trained = find_trained(checkpoint, path, source)
    if trained is None:
        raise ValueError(
            f"{path} holds no trained detector (keys {some_keys(checkpoint)}); expected 'model'. Name a "
            f"checkpoint of a training run, such as MODEL.WEIGHTS output/model_final.pth"
        )
    return trained


def read_any(source: str | os.PathLike[str]) -> TrainedModel | None:
    """Read a trained model as :func:`read_trained` does; None: the file is something else, such as a classifier.

    Raises:
        FileNotFoundError, ValueError: as of :func:`read_trained`.
    """
    source = os.fspath(source)
    path = local_file(source)
    return find_trained(read_checkpoint(path), path, source)


def find_trained(checkpoint: Mapping[str, Any], path: Path, source: str) -> TrainedModel | None:
    """The trained model in what a file holds; None: it is something else, such as a backbone.

    Args:
        checkpoint: what :func:`~hiera_det.weights.read.read_checkpoint` gave.
        path: the file.
        source: as the user named it: of a folder or repository, the ``config.json`` is read too.

    Raises:
        ValueError: what it says of the model makes no sense.
    """
    entries: Mapping[str, Any]
    tensors: Mapping[str, Any]
    if path.suffix.lower() == ".safetensors":
        entries, tensors = read_config(source), checkpoint
    elif "model" in checkpoint:
        entries = {name: value for name, value in checkpoint.items() if name != "model"}
        tensors = {"model": checkpoint["model"]}
    else:
        return None
    state = unwrapped(state_dict_of(tensors, str(path)))
    description = Description.from_plain(entries, str(path))
    task = next((task for begin, task in _HEADS.items() if any(key.startswith(begin) for key in state)), None)
    if task is None or (task == "pretraining" and "model" not in checkpoint and description.version is None):
        return None  # a published masked autoencoder is no run
    if "model" not in checkpoint and description.version is None:
        raise ValueError(
            f"{path} has the weights of a whole model for {task}, but there is no config.json of this package beside"
            " it: name the folder or repository that save_pretrained or push_to_hub wrote"
        )
    if description.task not in (None, task):
        raise ValueError(f"{path} says that its task is {description.task!r}, but has the weights of {task!r}")
    return TrainedModel(str(path), state, Description(**{**vars(description), "task": task}))


def load_trained(model: nn.Module, trained: TrainedModel) -> None:
    """Load what :func:`read_trained` read into a model, in place.

    Raises:
        ValueError: it is of another model, or has numbers that are not finite.
    """
    load_state(model, trained.state, trained.source)
    logger.info("%s: loaded all %d tensors of the model", trained.source, len(trained.state))


def config_of(
    trained: TrainedModel,
    defaults: CfgNode,
    config: str | Path | None = None,
    overrides: Sequence[Any] = (),
) -> CfgNode:
    """The config of a trained model: its own, or a file's, then overrides; ``MODEL.WEIGHTS`` is the model's file.

    Args:
        trained: the model.
        defaults: all keys of its task.
        config: a YAML file in place of what the model's file says; files of 0.1.0 say nothing.
        overrides: alternating keys and values.

    Raises:
        FileNotFoundError: there is no such config.
        ValueError: no config is known, or it does not fit this version; the message names the key.
    """
    if "MODEL.WEIGHTS" in overrides[::2]:
        raise ValueError(f"MODEL.WEIGHTS is given beside the weights {trained.source}; leave it out")
    words = [*overrides, "MODEL.WEIGHTS", trained.source]
    own = trained.description.config
    if config is not None:
        if own is None:
            logger.info("%s does not hold its config, as files of version 0.1.0: taken from %s", trained.source, config)
        return load_config(config, words, defaults)
    if own is None:
        beside = Path(trained.source).with_name("config.yaml")
        hint = f", such as {beside}" if beside.is_file() else ", the config.yaml of its run's folder"
        raise ValueError(
            f"{trained.source} does not hold its config: version 0.1.0 or another program wrote it. Give the config"
            f" that it was trained with{hint}: --config on the command line, config=... in Python"
        )
    return config_from(own, words, defaults, source=f"the config in {trained.source}")
