"""`MODEL.WEIGHTS`: the original Hiera's format for the backbone, or this project's for the whole detector."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from torch import Tensor, nn

from hiera_det.hiera.checkpoints import local_file, original_encoder, read_checkpoint
from hiera_det.hosts.torchvision.names import from_detectron2, to_detectron2

__all__ = ["convert_detector", "load_detector", "load_weights"]

logger = logging.getLogger(__name__)

BOTTOM_UP = "backbone.bottom_up."  # the backbone's prefix in detectron2's names


def load_weights(model: nn.Module, source: str) -> None:
    """Load `MODEL.WEIGHTS` into a detector and log what came from the file.

    Args:
        model: from `build_model`.
        source: a local file or URL: `{"model_state": …}` as the original publishes (backbone), or `{"model": …}` with
            detectron2's names (whole detector); "" leaves the model as initialised.

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
        load_detector(model, checkpoint["model"], str(path))
        logger.info("%s: loaded all %d tensors of the detector", path, len(checkpoint["model"]))
    elif "model_state" in checkpoint:
        _load_backbone(model, checkpoint["model_state"], str(path))
    else:
        raise ValueError(
            f"{path} has the keys {sorted(map(str, checkpoint))[:8]}; expected 'model_state' (the original Hiera's "
            f"format) or 'model' (a detector with detectron2's names)"
        )


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


def _is_backbone(key: str) -> bool:
    return key.startswith(BOTTOM_UP)
