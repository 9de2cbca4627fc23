"""A Hiera's weights from any source into a file, or for transformers a folder, that another package reads."""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hiera_det.utils.files import atomic_write, make_folder
from hiera_det.weights.complete import check_complete
from hiera_det.weights.config_json import check_published, read_config
from hiera_det.weights.formats import HieraWeights, find_hiera
from hiera_det.weights.hiera import decoder_config, read_hiera
from hiera_det.weights.read import check_numbers
from hiera_det.weights.source import file_beside
from hiera_det.weights.state_dicts import (
    detectron2_checkpoint,
    has_background,
    original_checkpoint,
    timm_state,
    transformers_state,
)
from hiera_det.weights.tensorfiles import write_safetensors
from hiera_det.weights.transformers_config import model_config, processor_config
from hiera_det.weights.variant import input_size_of, published_name, variant_of

__all__ = ["FORMATS", "convert_checkpoint"]

logger = logging.getLogger(__name__)

FORMATS = {"original": (".pth",), "timm": (".safetensors", ".pth"), "transformers": (), "detectron2": (".pkl", ".pth")}
_CHECKPOINTS = {"original": original_checkpoint, "timm": timm_state, "detectron2": detectron2_checkpoint}
_WITH_DECODER = ("original", "transformers")
PUBLISHED_DECODER = (512, 8, 16)  # channels, blocks and heads of the published masked autoencoders
_FILES = (".pth", ".pt", ".safetensors", ".pkl")


def convert_checkpoint(source: str, output: str | Path, to: str) -> None:
    """Write the Hiera of a checkpoint as another package reads it, with its own names, strictly.

    Args:
        source: see :func:`~hiera_det.weights.source.local_file`; of a detector the backbone is taken.
        output: the file to write, or for transformers the folder. Nothing may be there.
        to: one of :data:`FORMATS`. "original": ``{"model_state": …}``. "timm": a flat state dict, of a SAM 2 trunk that
            of timm's ``HieraDet``. "transformers": ``config.json``, ``model.safetensors`` and
            ``preprocessor_config.json``, for ``HieraForImageClassification``, without a classifier ``HieraModel``, of a
            masked autoencoder ``HieraForPreTraining``.
            "detectron2": what detectron2's checkpointer matches to a ``HieraBackbone``.
            Beside transformers' weights go the labels and the settings of the processor that stand beside the source.

    Raises:
        FileNotFoundError: the source cannot be had.
        FileExistsError: there is something at `output`.
        ValueError: the source cannot be read or is no complete Hiera, the format has no place for it, the
            ``config.json`` beside it describes a model that computes something else than the published one, or
            `output` has another ending than the format's.
    """
    path = Path(output)
    _check_output(path, to)
    weights, config = read_hiera(source), read_config(source)
    try:
        left_out = len(weights.decoder) if to not in _WITH_DECODER else 0
        if left_out:
            weights = replace(weights, decoder={})
        check_complete(weights)
        weights.decoder_config = {**decoder_config(config), **weights.decoder_config}
        if to == "original":
            _check_decoder(weights)
        check_numbers(weights.decoder, source)
        _check_function(weights, config, source, to)
        make_folder(path.parent, "the folder of the output")
        with atomic_write(path) as temporary:
            written = _write(weights, temporary, to)
            left_beside = _copy_beside(config, source, temporary) if to == "transformers" else _beside(config, source)
    except ValueError as error:
        raise ValueError(f"{source} (format {weights.file_format}): {error}") from error
    _report(source, path, to, weights, written, left_beside, left_out)


def _check_output(path: Path, to: str) -> None:
    if to not in FORMATS:
        raise ValueError(f"no format is called {to!r}; there are {', '.join(FORMATS)}")
    endings = FORMATS[to]
    if path.suffix not in endings if endings else path.suffix in _FILES:
        expected = f"a file ending with {' or '.join(endings)}" if endings else "a folder"
        raise ValueError(f"{path}: for {to}, name {expected}")
    if path.exists():
        raise FileExistsError(f"{path} exists already and stays as it is; name another, or remove it")


def _check_function(weights: HieraWeights, config: Mapping[str, Any], source: str, to: str) -> None:
    """Check that the published model computes the same; for other sizes there is none, and the user tells all."""
    variant = published_name(weights.encoder)
    if variant is not None:  # of windows those who open the file decide: a HieraBackbone or timm's HieraDet
        windowed = to == "detectron2" or has_background(weights.encoder)
        mae = "mae_" if weights.decoder else ""
        check_published(config, mae + variant, source, windowed=windowed)


def _write(weights: HieraWeights, path: Path, to: str) -> int:
    """Write the file or folder; returns the number of tensors in it."""
    if to == "transformers":
        return _write_folder(weights, path)
    checkpoint = _CHECKPOINTS[to](weights)
    state = checkpoint.get("model_state", checkpoint.get("model", checkpoint))
    if path.suffix == ".safetensors":
        write_safetensors(state, path, {"format": "pt"})
    elif path.suffix == ".pkl":
        arrays = {key: _array(value) for key, value in state.items()}
        path.write_bytes(pickle.dumps({**checkpoint, "model": arrays}))
    else:
        torch.save(checkpoint, path)
    return len(state)


def _array(value: Tensor) -> np.ndarray:
    value = value.detach()
    return (value.float() if value.dtype == torch.bfloat16 else value).numpy()  # numpy has no bfloat16


def _write_folder(weights: HieraWeights, path: Path) -> int:
    state = transformers_state(weights)
    variant = variant_of(weights.encoder, "the file")
    side = input_size_of(find_hiera(state, "the file").encoder, "the file")[-1]
    path.mkdir()
    decoder = _decoder_config(weights) if weights.decoder else None
    configs = {
        "config.json": model_config(variant, len(state.get("classifier.weight", ())), side, decoder),
        "preprocessor_config.json": processor_config(side),
    }
    for name, config in configs.items():
        _write_json(config, path / name)
    write_safetensors(state, path / "model.safetensors", {"format": "pt"})
    return len(state)


def _check_decoder(weights: HieraWeights) -> None:
    """Check that the original's published class reads it with its own number of heads; of others the user tells all."""
    *shape, heads = PUBLISHED_DECODER
    own = weights.decoder_config.get("decoder_num_heads", heads)
    if weights.decoder and weights.decoder_shape == tuple(shape) and own != heads:
        raise ValueError(
            f"the decoder has {own} attention heads, the original's of the same tensors {heads}: it"
            " would compute something else; convert to transformers, whose config.json tells them"
        )


def _decoder_config(weights: HieraWeights) -> dict[str, int]:
    (width, depth), heads = weights.decoder_shape, weights.decoder_config.get("decoder_num_heads")
    if heads is None and (width, depth) != PUBLISHED_DECODER[:2]:
        raise ValueError(
            f"nothing beside the weights tells the attention heads of their decoder of {depth} blocks; expected a"
            " checkpoint of `hiera-det pretrain`, or a config.json with decoder_num_heads"
        )
    return {
        "decoder_hidden_size": width,
        "decoder_depth": depth,
        "decoder_num_heads": PUBLISHED_DECODER[2],
        **weights.decoder_config,
    }


def _beside(config: Mapping[str, Any], source: str) -> list[str]:
    """What stands beside the weights of a classifier that only transformers has a place for."""
    found = ["id2label of config.json"] if config.get("id2label") else []
    return found + (["preprocessor_config.json"] if file_beside(source, "preprocessor_config.json") else [])


def _copy_beside(config: Mapping[str, Any], source: str, folder: Path) -> list[str]:
    """Put labels and processor settings that stand beside the source into the folder; returns what does not fit."""
    if settings := file_beside(source, "preprocessor_config.json"):
        (folder / "preprocessor_config.json").write_bytes(settings.read_bytes())
    labels = {key: value for key, value in config.items() if key in ("id2label", "label2id")}
    written = json.loads((folder / "config.json").read_bytes())
    if not labels.get("id2label"):
        return []
    if len(labels["id2label"]) != written.get("num_labels"):
        return ["id2label of config.json, which has another number of labels than the weights have classes"]
    _write_json({**written, **labels}, folder / "config.json")
    return []


def _write_json(content: Mapping[str, Any], path: Path) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _report(
    source: str, path: Path, to: str, weights: HieraWeights, written: int, left_beside: list[str], decoder: int
) -> None:
    left_out = {what: len(names) for what, names in weights.dropped.items()}
    if decoder:
        left_out["the decoder of MAE"] = decoder
    if to == "detectron2" and weights.classifier:
        left_out["the classifier"] = len(weights.classifier)
    if to != "detectron2" and weights.neck:
        left_out["SAM 2's neck"] = len(weights.neck)
    if to != "detectron2" and (norms := sum(key.startswith("norm_res") for key in weights.encoder)):
        left_out["norms of maps"] = norms
    logger.info(
        "%s: %d tensors of %s (format %s), licence %s", path, written, source, weights.file_format, weights.licence
    )
    for what, count in left_out.items():
        logger.warning("left out: %s (%d tensors)", what, count)
    for what in left_beside:
        logger.warning("left out: %s", what)
    if to != "detectron2" and "norm.weight" not in weights.classifier:
        logger.warning(
            "the weights have no final norm: models of %s have one, which stays as initialised, and so refuse this"
            " file if they read it strictly",
            to,
        )
