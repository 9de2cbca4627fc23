"""`MODEL.WEIGHTS` of every backend: a Hiera from anywhere, or a whole detector from a run on any backend.

A detector's file is `{"model": ...}` with detectron2's names.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from hiera_det.weights.fit import fit_channels
from hiera_det.weights.formats import unwrapped
from hiera_det.weights.hiera import find_encoder, hiera_in, load_hiera
from hiera_det.weights.read import check_numbers, read_checkpoint, state_dict_of
from hiera_det.weights.report import LoadReport, show_licence
from hiera_det.weights.sam2 import laterals_of
from hiera_det.weights.same_function import warn_of_another_function
from hiera_det.weights.source import local_file

__all__ = [
    "HasDetectron2Names",
    "check_same_model",
    "file_state_dict",
    "load_state",
    "load_weights",
]

logger = logging.getLogger(__name__)

CLASS_LAYERS = re.compile(  # detectron2's names of what has one output for each class
    r"(roi_heads\.(box_predictor(\.\d)?\.(cls_score|bbox_pred)|mask_head\.predictor)|head\.(cls_score|proj))\.(weight|bias)"
)


@runtime_checkable
class HasDetectron2Names(Protocol):
    """A detector whose parameters have other names than detectron2's, which its files have."""

    def detectron2_state_dict(self) -> dict[str, Tensor]:
        """Its state dict under detectron2's names."""

    def load_detectron2_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Load a whole state dict with detectron2's names."""


def load_weights(model: nn.Module, source: str | os.PathLike[str], *, strict: bool = True) -> LoadReport:
    """Load weights into a Hiera, or into a model that has one: backbone, detector, action detector.

    From a file of a whole detector, a detector gets everything but layers of another number of classes; any other
    model, and from any other file, gets the Hiera in it, and a detector from SAM 2's also the lateral convolutions of
    its pyramid. Formats are told apart by their keys, see :mod:`hiera_det.weights.formats`; what differs in input size,
    clip length or position embedding is made to fit, see :mod:`hiera_det.weights.fit`.

    Args:
        model: it is or has one ``HieraEncoder``.
        source: "hiera_base_224.mae_in1k" or another name of the zoo, a URL, ``hf://owner/name``, a local ``.pth``,
            ``.pt``, ``.safetensors`` or ``.pkl``; see :func:`~hiera_det.weights.source.local_file`. "" leaves the
            model as it is, with a warning.
        strict: False admits missing and unexpected tensors of the Hiera; the report has them. A detector's file in a
            detector is the same with both: it must fit but for the layers of classes.

    Returns:
        The report, which is also logged.

    Raises:
        FileNotFoundError: the file cannot be had.
        ValueError: it cannot be read, or is of another model; the message lists every difference.
    """
    source = os.fspath(source)
    if source == "":
        logger.warning("MODEL.WEIGHTS is empty: training from scratch")
        return LoadReport(source, "none", "none", missing=sorted(model.state_dict()))
    path = local_file(source)
    checkpoint = read_checkpoint(path)
    weights = hiera_in(checkpoint, path, source)
    if weights.file_format == "detectron2" and weights.dropped and _has_heads(model):  # not a backbone alone
        report = _load_detector(model, unwrapped(state_dict_of(checkpoint, str(path))), source, weights.licence)
        warn_of_another_function(find_encoder(model)[1], weights.arguments, source)
        return report
    own = file_state_dict(model) if weights.neck else {}
    laterals = laterals_of(weights.neck, own)
    unused = {name: its for name, its in weights.neck.items() if f"backbone.{name}" not in laterals}
    report = load_hiera(model, replace(weights, neck=unused), source, strict=strict)
    if laterals:
        load_state(model, {**own, **laterals}, source)  # what is loaded meanwhile is in the same memory
        report.loaded += sorted(laterals)
        logger.info("from SAM 2's neck: %s", ", ".join(sorted(laterals)))
    if others := len(model.state_dict()) - len(report.loaded) - len(report.missing):
        logger.info("initialised anew: the %d tensors of the rest of the model", others)
    return report


def load_state(model: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Load a state dict with the names of files into a model, in place.

    Args:
        model: the model.
        state: under detectron2's names where the model has these in its files.
        source: the file, for the message.

    Raises:
        ValueError: it is of another model, or has numbers that are not finite.
    """
    own = file_state_dict(model)
    check_same_model(state, own, source)
    _check_numbers(state, own, source)
    if isinstance(model, HasDetectron2Names):
        model.load_detectron2_state_dict(state)
    else:
        model.load_state_dict(state)


def file_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """Give a model's state dict under the names that files have: detectron2's, or its own."""
    return model.detectron2_state_dict() if isinstance(model, HasDetectron2Names) else model.state_dict()


def check_same_model(state: Mapping[str, Tensor], own: Mapping[str, Tensor], source: str) -> None:
    """Compare names and shapes of two detectors' state dicts, both under detectron2's names.

    Args:
        state: of the file.
        own: of the model.
        source: the file, for the message.

    Raises:
        ValueError: they differ; the message lists all differences.
    """
    lines = [f"missing: {key}" for key in own.keys() - state.keys()]
    lines += [f"unknown: {key}" for key in state.keys() - own.keys()]
    lines += [
        f"{key}: {tuple(state[key].shape)} in the checkpoint, {tuple(own[key].shape)} in the model"
        for key in own.keys() & state.keys()
        if state[key].shape != own[key].shape
    ]
    if lines:
        raise ValueError(
            f"{source} is of another model than this config builds (backbone, classes, heads); the config.yaml"
            f" of a run's folder fits its checkpoints. Differences:" + "".join(f"\n  {line}" for line in sorted(lines))
        )


def _load_detector(model: nn.Module, state: Mapping[str, Tensor], source: str, licence: str) -> LoadReport:
    """A whole detector into one, of perhaps other classes: in place of class layers of another shape, its own stay."""
    own = file_state_dict(model)
    report = LoadReport(source, "detectron2", licence)
    state = {**state}
    for key in own.keys() & state.keys():
        if key.endswith("patch_embed.proj.weight") and _other_channels(state[key].shape, own[key].shape):
            state[key], report.resized[key] = fit_channels(state[key], own[key].shape[1])
    there = [key for key in own if CLASS_LAYERS.fullmatch(key) and key in state]
    other = [key for key in there if _of_other_classes(state[key].shape, own[key].shape)]
    whole = {**state, **{key: own[key] for key in other}}
    try:
        check_same_model(whole, own, source)
    except ValueError as error:
        command = shlex.join(["hiera-det", "convert", source, "backbone.pth", "--to", "original"])
        raise ValueError(f"{error}\nTo start from its backbone alone, take it out: {command}") from error
    load_state(model, whole, source)
    report.missing = sorted(other)
    report.loaded = sorted(own.keys() - set(other))
    if other:
        logger.warning("%s has another number of classes; initialised anew: %s", source, ", ".join(other))
    logger.info("%s", report)
    show_licence(report)
    return report


def _of_other_classes(found: torch.Size, own: torch.Size) -> bool:
    return found != own and len(found) == len(own) and found[1:] == own[1:]


def _other_channels(found: torch.Size, own: torch.Size) -> bool:
    return len(found) == len(own) > 1 and found[1] == 3 != own[1] and own[1] != 2 and found[2:] == own[2:]


def _check_numbers(state: Mapping[str, Tensor], own: Mapping[str, Tensor], source: str) -> None:
    """Of all tensors but the counters that BatchNorm has."""
    check_numbers({key: value for key, value in state.items() if own[key].is_floating_point()}, source)


def _has_heads(model: nn.Module) -> bool:
    prefix, _ = find_encoder(model)
    return any(not key.startswith(prefix) for key in model.state_dict())
