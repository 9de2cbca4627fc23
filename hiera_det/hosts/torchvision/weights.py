"""`MODEL.WEIGHTS`: the original Hiera's format for the backbone, or this project's for the whole detector."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from hiera_det.backbone import HieraBackbone
from hiera_det.hiera.checkpoints import local_file, original_encoder, read_checkpoint
from hiera_det.hosts.torchvision.names import from_detectron2, to_detectron2

__all__ = ["convert_detector", "load_detector", "load_trained", "load_weights"]

logger = logging.getLogger(__name__)

BOTTOM_UP = "backbone.bottom_up."  # the backbone's prefix in detectron2's names
CLASS_LAYERS = tuple(  # detectron2's names of what has one output for each class
    f"roi_heads.{layer}.{part}"
    for layer in ("box_predictor.cls_score", "box_predictor.bbox_pred", "mask_head.predictor")
    for part in ("weight", "bias")
)


def load_weights(model: nn.Module, source: str) -> None:
    """Load `MODEL.WEIGHTS` into a detector and log what came from the file.

    Args:
        model: from `build_model`.
        source: a local file or URL: `{"model_state": …}` as the original publishes (backbone), or `{"model": …}` with
            detectron2's names (whole detector; layers with an output for each class stay as initialised where the
            model has another number of classes, and that is logged); "" leaves the model as initialised.

    Raises:
        FileNotFoundError: the file cannot be had.
        ValueError: the file is of neither format, or its keys or shapes do not fit the model; the message names them.
    """
    if source == "":
        logger.info("MODEL.WEIGHTS is empty: training from scratch")
        return
    path = local_file(source)
    checkpoint = read_checkpoint(path)
    if "model" in checkpoint:
        state = _keep_other_classes(model, checkpoint["model"], str(path))
        load_detector(model, state, str(path))
        logger.info("%s: loaded all %d tensors of the detector", path, len(state))
    elif "model_state" in checkpoint:
        _load_backbone(model, checkpoint["model_state"], str(path))
    else:
        raise ValueError(
            f"{path} has the keys {sorted(map(str, checkpoint))[:8]}; expected 'model_state' (the original Hiera's "
            f"format) or 'model' (a detector with detectron2's names)"
        )


def _keep_other_classes(model: nn.Module, state: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Fine-tuning to other classes: in place of the file's class layers of another shape, the model's own."""
    own = to_detectron2(model.state_dict())
    there = [k for k in CLASS_LAYERS if k in own and k in state]
    other = [k for k in there if len(own[k]) != len(state[k]) and own[k].shape[1:] == state[k].shape[1:]]
    if other:
        logger.warning("%s has another number of classes; initialised anew: %s", source, ", ".join(other))
    return {**state, **{key: own[key] for key in other}}


def load_trained(model: nn.Module, source: str) -> dict[str, Any]:
    """Load a trained detector, heads included: what evaluation and prediction need.

    Args:
        model: from `build_model`.
        source: a local file or URL: `{"model": ...}` with detectron2's names.

    Returns:
        The checkpoint, for what else it tells: this project's hold `class_names` and `category_ids`.

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
    load_detector(model, checkpoint["model"], str(path))
    logger.info("%s: loaded all %d tensors of the detector", path, len(checkpoint["model"]))
    return checkpoint


def load_detector(model: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Load a whole detector's state dict with detectron2's names, strictly.

    Raises:
        ValueError: names or shapes differ.
    """
    model.load_state_dict(convert_detector(state, model.state_dict(), source))


def convert_detector(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """A detector's state dict with detectron2's names, under this host's names.

    Args:
        state: with detectron2's names.
        expected: the state dict that it is for, with this host's names.
        source: where the state is from, for the message.

    Raises:
        ValueError: names or shapes differ; the message lists all of them, under detectron2's names.
    """
    wanted = to_detectron2(expected)
    differences = [f"missing: {key}" for key in wanted.keys() - state.keys()]
    differences += [f"unknown: {key}" for key in state.keys() - wanted.keys()]
    differences += [
        f"{key}: {tuple(state[key].shape)} in the checkpoint, {tuple(wanted[key].shape)} in the model"
        for key in wanted.keys() & state.keys()
        if state[key].shape != wanted[key].shape
    ]
    if differences:
        lines = "\n  ".join(sorted(differences))
        raise ValueError(
            f"{source} is of another model than this config builds (MODEL.HIERA, MODEL.ROI_HEADS.NUM_CLASSES, heads); "
            f"the config.yaml of a run's folder fits its checkpoints. Differences:\n  {lines}"
        )
    return from_detectron2(state)


def _load_backbone(model: nn.Module, state: dict[str, Tensor], source: str) -> None:
    encoder, dropped = original_encoder(state)
    later = _blocks_after_the_last_map(model)
    dropped = [*dropped, *(key for key in encoder if key.startswith(later))]
    encoder = {key: value for key, value in encoder.items() if not key.startswith(later)}
    converted = from_detectron2({BOTTOM_UP + key: value for key, value in encoder.items()})
    try:
        result = model.load_state_dict(converted, strict=False)
    except RuntimeError as error:
        raise ValueError(f"{source} is of another variant than MODEL.HIERA.NAME: {error}") from error
    anew = [key for key in result.missing_keys if not _is_backbone(key)]
    missing = [key for key in result.missing_keys if _is_backbone(key) and ".norm_res" not in key]
    if missing or result.unexpected_keys:
        raise ValueError(
            f"{source} is not a checkpoint of MODEL.HIERA.NAME's variant: backbone tensors missing in the file: "
            f"{missing or 'none'}; in the file, not in the backbone: {result.unexpected_keys or 'none'}"
        )
    logger.info("%s: loaded %d backbone tensors, in the original Hiera's format", source, len(encoder))
    if dropped:
        logger.info("not used, no part of a backbone: %s", ", ".join(dropped))
    logger.info("initialised anew: the %d tensors of pyramid and heads", len(anew))


def _blocks_after_the_last_map(model: nn.Module) -> tuple[str, ...]:
    """Prefixes of the blocks of the variant that the backbone does without, as `MODEL.FPN.IN_FEATURES` ends earlier."""
    bottom_up = model.get_submodule(BOTTOM_UP.removesuffix("."))
    if not isinstance(bottom_up, HieraBackbone):
        return ()
    return tuple(f"blocks.{i}." for i in range(len(bottom_up.blocks), sum(bottom_up.stages)))


def _is_backbone(key: str) -> bool:
    return key.startswith(BOTTOM_UP)
