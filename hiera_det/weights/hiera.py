"""A Hiera's weights from any source into the Hiera of any model."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from hiera_det.hiera.encoder import HieraEncoder
from hiera_det.hiera.mae import MaskedAutoencoderHiera
from hiera_det.weights.config_json import read_config
from hiera_det.weights.description import Description
from hiera_det.weights.fit import fit, fit_decoder
from hiera_det.weights.formats import DECODER, HEAD, NORM, HieraWeights, find_hiera
from hiera_det.weights.read import check_numbers, read_checkpoint, state_dict_of
from hiera_det.weights.report import LoadReport, show_licence
from hiera_det.weights.same_function import known_arguments, warn_of_another_function
from hiera_det.weights.source import local_file
from hiera_det.weights.zoo import licence_of

__all__ = ["decoder_config", "find_encoder", "hiera_in", "load_hiera", "read_hiera"]

logger = logging.getLogger(__name__)

_PATCHES = "patch_embed.proj.weight"
_LAYER_SCALE = re.compile(r"blocks\.\d+\.ls[12]\.gamma")


def read_hiera(source: str) -> HieraWeights:
    """The Hiera in a file, under the original's names.

    Args:
        source: see :func:`~hiera_det.weights.source.local_file`.

    Raises:
        FileNotFoundError: the file cannot be had.
        ValueError: it cannot be read, or holds no Hiera.
    """
    path = local_file(source)
    return hiera_in(read_checkpoint(path), path, source)


def hiera_in(checkpoint: Mapping[str, Any], path: Path, source: str) -> HieraWeights:
    """The Hiera in what a file holds, under the original's names.

    Args:
        checkpoint: what :func:`~hiera_det.weights.read.read_checkpoint` gave.
        path: the file.
        source: as the user named it, which may tell the licence.

    Raises:
        ValueError: it holds no Hiera.
    """
    weights = find_hiera(state_dict_of(checkpoint, str(path)), str(path))
    entries = read_config(source) if path.suffix.lower() == ".safetensors" else checkpoint
    weights.decoder_config = decoder_config(entries)
    weights.arguments = known_arguments(entries, weights.encoder)
    if "hiera_det_version" in entries:  # a run of this package notes what it began with
        weights.licence = Description.from_plain(entries, str(path)).licence or "none"
    else:
        weights.licence = licence_of(source, weights.file_format)
    return weights


def decoder_config(entries: Mapping[str, Any]) -> dict[str, int]:
    """What a config.json, or the config in a run's checkpoint, says of a masked autoencoder's decoder."""
    names = {"decoder_num_heads": "decoder_num_heads", "normalize_target": "normalize_pixel_loss"}
    values = {ours: entries.get(ours, entries.get(theirs)) for ours, theirs in names.items()}
    with suppress(KeyError, TypeError, AttributeError):  # the config is another task's, or there is none
        node = entries["config"]["MODEL"]["MAE"]
        values = {name: node.get(name.upper()) for name in names}
    return {names[name]: value for name, value in values.items() if isinstance(value, int)}


def _check_heads(model: MaskedAutoencoderHiera, heads: int | None) -> None:
    block: Any = model.decoder_blocks[0]
    own = block.attn.heads
    if heads is not None and heads != own:
        raise ValueError(f"the decoder has {heads} attention heads, the model's {own} (MODEL.MAE.DECODER_NUM_HEADS)")


def load_hiera(model: nn.Module, weights: HieraWeights, source: str, *, strict: bool = True) -> LoadReport:
    """Load a Hiera's weights into the one that a model is or has, in place.

    The encoder is loaded completely. If the model is the classifier, its norm and head come from the file as far as
    they are there, the head if it is of the model's number of classes; otherwise they stay as they are, with a warning.
    If it is the masked autoencoder, so does its decoder where the file has none; a file's own is loaded completely.

    Args:
        model: it is or has one ``HieraEncoder``.
        weights: what :func:`read_hiera` gives; not changed.
        source: where they are from, for report and messages.
        strict: False admits missing and unexpected tensors of the encoder; the report has them.

    Returns:
        The report, which is also logged; a known licence once in a process as a warning. A model that computes
        another function than the weights were trained for is a warning too.

    Raises:
        ValueError: the model has no Hiera or another variant; the message lists every difference.
    """
    prefix, encoder = find_encoder(model)
    state, classifier, decoder = dict(weights.encoder), dict(weights.classifier), dict(weights.decoder)
    own = encoder.state_dict()
    report = LoadReport(source, weights.file_format, weights.licence or licence_of(source, weights.file_format))
    report.dropped = {what: list(keys) for what, keys in weights.dropped.items()}
    try:
        if not isinstance(encoder, MaskedAutoencoderHiera):
            _drop(decoder, report, "the decoder of MAE", list(decoder))
        elif decoder and weights.encoder[_PATCHES].ndim != encoder.patch_embed.proj.weight.ndim:
            _drop(decoder, report, "the decoder of MAE, which is not inflated", list(decoder))
        elif decoder:
            _check_heads(encoder, weights.decoder_config.get("decoder_num_heads"))
            check_numbers(decoder, source)
            decoder |= {f"encoder_{key}": classifier.pop(key) for key in NORM if key in classifier}
            report.resized = fit_decoder(decoder, encoder, state)
        report.resized |= fit(state, encoder)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error

    heads = {key for key in own if key.startswith(("norm.", "head."))}
    later = tuple(f"blocks.{i}." for i in range(len(encoder.blocks), sum(encoder.stages)))
    _drop(state, report, "blocks after the last map", [key for key in state if key.startswith(later)])
    _drop(state, report, "norms of maps", [key for key in state if key.startswith("norm_res") and key not in own])
    _drop(classifier, report, "the classifier", [key for key in classifier if key not in heads])
    _drop(classifier, report, "a head of other classes", _other_classes(classifier, own))
    _drop(dict(weights.neck), report, "SAM 2's neck", list(weights.neck))

    of_decoder = {key for key in own if DECODER.fullmatch(key) or key.startswith("encoder_norm.")}
    wanted = {key for key in own if key not in heads and (decoder or key not in of_decoder)}
    optional = {key for key in wanted if key.startswith("norm_res")}
    state |= decoder
    loaded = {**state, **classifier}
    wrong = [
        f"{key}: {tuple(loaded[key].shape)} in the file, {tuple(own[key].shape)} in the model"
        for key in sorted(loaded.keys() & own.keys())
        if loaded[key].shape != own[key].shape
    ]
    absent, unexpected = sorted(wanted - optional - state.keys()), sorted(state.keys() - wanted)
    if wrong or (strict and (absent or unexpected)):
        lines = [f"missing in the file: {key}" for key in absent]
        lines += [f"unknown to the model: {key}" for key in unexpected]
        what = "is of another variant than the model"
        if any(_LAYER_SCALE.fullmatch(key) for key in unexpected):
            what = "has LayerScale, which this Hiera does not have"
        raise ValueError(f"{source} (format {weights.file_format}) {what}:" + _listed(wrong + lines))
    for key in unexpected:
        del loaded[key]
    report.loaded = sorted(prefix + key for key in loaded)
    report.missing = sorted(prefix + key for key in own.keys() - loaded.keys())
    report.unexpected = unexpected
    encoder.load_state_dict(loaded, strict=False)
    logger.log(logging.WARNING if report.missing or report.unexpected else logging.INFO, "%s", report)
    warn_of_another_function(encoder, weights.arguments, source)
    show_licence(report)
    return report


def find_encoder(model: nn.Module) -> tuple[str, HieraEncoder]:
    """The name, with a dot behind it if it is not empty, and the module of the one Hiera in a model.

    Raises:
        ValueError: there is none, or there are several.
    """
    found = [(name, module) for name, module in model.named_modules() if isinstance(module, HieraEncoder)]
    if len(found) != 1:
        raise ValueError(
            f"the weights are a Hiera's, but the model ({type(model).__name__}) has {len(found)} of them, expected one"
        )
    name, encoder = found[0]
    return (f"{name}." if name else ""), encoder


def _other_classes(classifier: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    """The names of a head that differs from the model's in nothing but the number of classes."""
    if not all(key in classifier and key in own for key in HEAD):
        return []
    weight, bias = (classifier[key] for key in HEAD)
    is_head = weight.ndim == 2 and weight.shape[1:] == own[HEAD[0]].shape[1:] and bias.shape == weight.shape[:1]
    return list(HEAD) if is_head and len(weight) != len(own[HEAD[0]]) else []


def _drop(tensors: dict[str, Tensor], report: LoadReport, what: str, keys: list[str]) -> None:
    for key in keys:
        del tensors[key]
    if keys:
        report.dropped[what] = keys


def _listed(lines: list[str]) -> str:
    shown = "".join(f"\n  {line}" for line in lines[:40])
    return shown + (f"\n  … and {len(lines) - 40} more" if len(lines) > 40 else "")
