"""`MODEL.WEIGHTS` of every host: what a file has for a detector, under detectron2's names.

A file is `{"model_state": ...}` as the original Hiera is published (the backbone), or `{"model": ...}` with
detectron2's names (a whole detector), from a run on any host.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from hiera_det.backbone import HieraBackbone
from hiera_det.hiera.checkpoints import local_file, original_encoder, read_checkpoint
from hiera_det.hiera.pos_embed import split_plain

__all__ = ["backbone_tensors", "check_same_model", "read_trained", "read_weights"]

logger = logging.getLogger(__name__)

CLASS_LAYERS = re.compile(  # detectron2's names of what has one output for each class
    r"(roi_heads\.(box_predictor(\.\d)?\.(cls_score|bbox_pred)|mask_head\.predictor)|head\.(cls_score|proj))\.(weight|bias)"
)


def read_weights(source: str, model: nn.Module, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What `MODEL.WEIGHTS` makes of a detector's state dict; says in the log what came from the file.

    Args:
        source: a local file or URL; "" leaves the model as it is. Layers with an output for each class stay where the
            file has another number of classes.
        model: the detector.
        own: its state dict under detectron2's names.

    Returns:
        A whole state dict under detectron2's names.

    Raises:
        FileNotFoundError: the file cannot be had.
        ValueError: the file is of neither format, or its keys or shapes do not fit the model; the message names them.
    """
    if source == "":
        logger.info("MODEL.WEIGHTS is empty: training from scratch")
        return dict(own)
    path = local_file(source)
    checkpoint = read_checkpoint(path)
    if "model" in checkpoint:
        state = _keep_other_classes(checkpoint["model"], own, str(path))
        check_same_model(state, own, str(path))
        logger.info("%s: loaded all %d tensors of the detector", path, len(state))
        return state
    if "model_state" in checkpoint:
        logger.info("%s is in the original Hiera's format", path)
        found = backbone_tensors(checkpoint["model_state"], model, own, str(path))
        logger.info("initialised anew: the %d tensors of pyramid and heads", len(own) - len(found))
        return {**own, **found}
    raise ValueError(
        f"{path} has the keys {sorted(map(str, checkpoint))[:8]}; expected 'model_state' (the original Hiera's format)"
        " or 'model' (a detector with detectron2's names)"
    )


def read_trained(source: str, own: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read a trained detector, heads included: what evaluation and prediction need.

    Args:
        source: a local file or URL: `{"model": ...}` with detectron2's names.
        own: the model's state dict under detectron2's names.

    Returns:
        The checkpoint, whose `model` fits `own`. The torchvision host's also hold `class_names` and `category_ids`.

    Raises:
        FileNotFoundError: the file cannot be had.
        ValueError: no file is named, it holds no whole detector, or the detector is another one.
    """
    if source == "":
        raise ValueError("MODEL.WEIGHTS is empty; name a trained checkpoint, such as output/model_final.pth")
    path = local_file(source)
    checkpoint = read_checkpoint(path)
    if "model" not in checkpoint:
        raise ValueError(
            f"{path} holds no trained detector (keys {sorted(map(str, checkpoint))[:8]}); expected 'model'. Name a "
            f"checkpoint of a training run, such as MODEL.WEIGHTS output/model_final.pth"
        )
    check_same_model(checkpoint["model"], own, str(path))
    logger.info("%s: loaded all %d tensors of the detector", path, len(checkpoint["model"]))
    return checkpoint


def check_same_model(state: Mapping[str, Tensor], own: Mapping[str, Tensor], source: str) -> None:
    """Compare names and shapes of two detectors' state dicts, both under detectron2's names.

    Args:
        state: of the file.
        own: of the model.
        source: the file, for the message.

    Raises:
        ValueError: they differ; the message lists all differences.
    """
    if lines := _differences(state, own):
        raise ValueError(
            f"{source} is of another model than this config builds (MODEL.HIERA, MODEL.ROI_HEADS.NUM_CLASSES, heads); "
            f"the config.yaml of a run's folder fits its checkpoints. Differences:{lines}"
        )


def _differences(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    """A line for each name that one of them lacks, and each shape that differs."""
    lines = [f"missing: {key}" for key in own.keys() - state.keys()]
    lines += [f"unknown: {key}" for key in state.keys() - own.keys()]
    lines += [
        f"{key}: {tuple(state[key].shape)} in the checkpoint, {tuple(own[key].shape)} in the model"
        for key in own.keys() & state.keys()
        if state[key].shape != own[key].shape
    ]
    return "".join(f"\n  {line}" for line in sorted(lines))


def _keep_other_classes(state: Mapping[str, Tensor], own: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Fine-tuning to other classes: in place of the file's class layers of another shape, the model's own."""
    there = [key for key in own if CLASS_LAYERS.fullmatch(key) and key in state]
    other = [key for key in there if len(own[key]) != len(state[key]) and own[key].shape[1:] == state[key].shape[1:]]
    if other:
        logger.warning("%s has another number of classes; initialised anew: %s", source, ", ".join(other))
    return {**state, **{key: own[key] for key in other}}


def backbone_tensors(
    state: dict[str, Tensor], model: nn.Module, own: Mapping[str, Tensor], source: str
) -> dict[str, Tensor]:
    """The tensors of a backbone, named as the model's; says in the log what came from the file.

    Args:
        state: under the original's names. Norms of maps may be there or not, and are not used if the model has none.
        model: it has a :class:`HieraBackbone`.
        own: its state dict.
        source: the file, for messages.

    Raises:
        ValueError: the model has no Hiera, or another one.
    """
    found_in = [(f"{name}.", m) for name, m in model.named_modules() if isinstance(m, HieraBackbone)]
    if not found_in:
        raise ValueError(f"{source} is for a Hiera, but the model has none: see MODEL.BACKBONE.NAME")
    prefix, backbone = found_in[0]
    encoder, dropped = original_encoder(state)
    later = tuple(f"blocks.{i}." for i in range(len(backbone.blocks), sum(backbone.stages)))  # after the last map
    dropped += [key for key in encoder if key.startswith(later)]
    dropped += [key for key in encoder if key.startswith("norm_res") and prefix + key not in own]  # of other maps
    if backbone.pos_embed_kind == "absolute_win":
        split_plain(encoder, (backbone.mask_unit_size[-2], backbone.mask_unit_size[-1]))
    found = {prefix + key: value for key, value in encoder.items() if key not in dropped}
    optional = f"{prefix}norm_res"
    wanted = {k: v for k, v in own.items() if k.startswith(prefix) and (k in found or not k.startswith(optional))}
    if lines := _differences(found, wanted):
        raise ValueError(f"{source} is of another variant than MODEL.HIERA.NAME. Differences:{lines}")
    logger.info("%s: loaded %d backbone tensors", source, len(found))
    if dropped:
        logger.info("not used, no part of a backbone: %s", ", ".join(dropped))
    return found
