"""A Hiera's weights from any source into a file, or for transformers a folder, that a peer reads."""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hiera_det.checkpoints.config_json import check_published, read_config
from hiera_det.checkpoints.formats import HieraWeights, find_hiera
from hiera_det.checkpoints.load import read_hiera
from hiera_det.checkpoints.peers import (
    detectron2_checkpoint,
    has_background,
    original_checkpoint,
    timm_state,
    transformers_state,
)
from hiera_det.checkpoints.source import file_beside
from hiera_det.checkpoints.transformers_config import model_config, processor_config
from hiera_det.checkpoints.variant import input_size_of, published_name, stages_of, variant_of
from hiera_det.checkpoints.zoo import licence_of
from hiera_det.files import make_folder, written_aside
from hiera_det.hiera.model import Hiera
from hiera_det.hiera.variants import variant_arguments
from hiera_det.tensorfiles import write_safetensors

__all__ = ["FORMATS", "convert_checkpoint"]

logger = logging.getLogger(__name__)

FORMATS = {"original": (".pth",), "timm": (".safetensors", ".pth"), "transformers": (), "detectron2": (".pkl", ".pth")}
_FILES = (".pth", ".pt", ".safetensors", ".pkl")


def convert_checkpoint(source: str, output: str | Path, to: str) -> None:
    """Write the Hiera of a checkpoint as a peer reads it, with its own names, strictly.

    Args:
        source: see :func:`~hiera_det.checkpoints.source.local_file`; of a detector the backbone is taken.
        output: the file to write, or for transformers the folder. Nothing may be there.
        to: one of :data:`FORMATS`. "original": ``{"model_state": …}``. "timm": a flat state dict, of a SAM 2 trunk that
            of timm's ``HieraDet``. "transformers": ``config.json``, ``model.safetensors`` and
            ``preprocessor_config.json``, for ``HieraForImageClassification`` or, without a classifier, ``HieraModel``.
            "detectron2": what detectron2's checkpointer matches to a ``HieraBackbone``.
            Beside transformers' weights go the labels and the settings of the processor that stand beside the source.

    Raises:
        FileNotFoundError: the source cannot be had.
        FileExistsError: there is something at `output`.
        ValueError: the source cannot be read or is no whole Hiera, the format has no place for it, the ``config.json``
            beside it describes a model that computes something else than the published one, or `output` has another
            ending than the format's.
    """
    path = Path(output)
    _check_output(path, to)
    weights = read_hiera(source)
    try:
        _check_whole(weights)
        _check_function(weights, source, to)
        make_folder(path.parent, "the folder of the output")
        with written_aside(path) as aside:
            written = _WRITERS[to](weights, aside)
            left_beside = _copy_beside(source, aside) if to == "transformers" else _beside(source)
    except ValueError as error:
        raise ValueError(f"{source} (format {weights.file_format}): {error}") from error
    _report(source, path, to, weights, written, left_beside)


def _check_output(path: Path, to: str) -> None:
    if to not in FORMATS:
        raise ValueError(f"no format is called {to!r}; there are {', '.join(FORMATS)}")
    endings = FORMATS[to]
    if path.suffix not in endings if endings else path.suffix in _FILES:
        expected = f"a file ending with {' or '.join(endings)}" if endings else "a folder"
        raise ValueError(f"{path}: for {to}, name {expected}")
    if path.exists():
        raise FileExistsError(f"{path} exists already and stays as it is; name another, or remove it")


def _check_whole(weights: HieraWeights) -> None:
    """Whether it has every tensor of a Hiera, in its shape, and no other; classifier and final norm as far as there.

    Raises:
        ValueError: it has not; the message lists every difference.
    """
    stages, parts = stages_of(weights.encoder), {key.rpartition(".")[0] for key in weights.classifier}
    if len(stages) != 4 or min(stages) < 1:
        raise ValueError(f"it has blocks of {len(stages)} stages only; no peer has such a model")
    own = {
        key: value.shape
        for key, value in _on_meta(weights, stages).state_dict().items()
        if not key.startswith(("norm.", "head.")) or key.rpartition(".")[0] in parts
    }
    there = {**weights.encoder, **weights.classifier}
    lines = [f"missing: {key}" for key in sorted(own.keys() - there.keys())]
    lines += [f"unknown: {key}" for key in sorted(there.keys() - own.keys()) if not key.startswith("norm_res")]
    lines += [
        f"{key}: {tuple(there[key].shape)} in the file, expected {wanted}"
        for key in sorted(own.keys() & there.keys())
        if (wanted := _any_size(key, tuple(own[key]), tuple(there[key].shape))) != tuple(there[key].shape)
    ]
    if lines:
        raise ValueError("it is not Hiera as the peers have it:" + "".join(f"\n  {line}" for line in lines[:40]))


def _on_meta(weights: HieraWeights, stages: tuple[int, ...]) -> Hiera:
    """A classifier without numbers, of the file's width, blocks and classes."""
    kernel, head = weights.encoder["patch_embed.proj.weight"], weights.classifier.get("head.projection.weight")
    if kernel.ndim not in (4, 5):
        raise ValueError(f"patch_embed.proj.weight is of shape {tuple(kernel.shape)}, expected (C, 3, (3,) 7, 7)")
    arguments = variant_arguments("hiera_base_16x224" if "pos_embed_spatial" in weights.encoder else "hiera_base_224")
    arguments |= {
        "embed_dim": len(kernel),
        "stages": stages,
        "num_classes": len(head) if head is not None and head.ndim else 1,
        "pos_embed": "absolute_win" if "pos_embed_window" in weights.encoder else "resize",
    }
    with torch.device("meta"):
        return Hiera(**arguments)


def _any_size(key: str, own: tuple[int, ...], there: tuple[int, ...]) -> tuple[int, ...]:
    """The shape to expect: position embeddings may be of any size."""
    if key not in ("pos_embed", "pos_embed_spatial", "pos_embed_temporal") or len(own) != len(there):
        return own
    return (own[0], there[1], own[2]) if len(own) == 3 else (*own[:2], *there[2:])


def _check_function(weights: HieraWeights, source: str, to: str) -> None:
    """Whether the peer's published model computes the same; of other sizes there is none, and its user tells all."""
    variant = published_name(weights.encoder)
    if variant is not None:  # of windows those who open the file decide: a HieraBackbone or timm's HieraDet
        windowed = to == "detectron2" or has_background(weights.encoder)
        check_published(read_config(source), variant, source, windowed=windowed)


def _original(weights: HieraWeights, path: Path) -> int:
    checkpoint = original_checkpoint(weights)
    torch.save(checkpoint, path)
    return len(checkpoint["model_state"])


def _timm(weights: HieraWeights, path: Path) -> int:
    state = timm_state(weights)
    if path.suffix == ".safetensors":
        write_safetensors(state, path)
    else:
        torch.save(state, path)
    return len(state)


def _transformers(weights: HieraWeights, path: Path) -> int:
    state = transformers_state(weights)
    variant = variant_of(weights.encoder, "the file")
    side = input_size_of(find_hiera(state, "the file").encoder, "the file")[-1]
    path.mkdir()
    configs = {
        "config.json": model_config(variant, len(state.get("classifier.weight", ())), side),
        "preprocessor_config.json": processor_config(side),
    }
    for name, config in configs.items():
        _write_json(config, path / name)
    write_safetensors(state, path / "model.safetensors")
    return len(state)


def _detectron2(weights: HieraWeights, path: Path) -> int:
    checkpoint = detectron2_checkpoint(weights)
    if path.suffix == ".pkl":
        checkpoint["model"] = {key: _array(value) for key, value in checkpoint["model"].items()}
        with path.open("wb") as file:
            pickle.dump(checkpoint, file)
    else:
        torch.save(checkpoint, path)
    return len(checkpoint["model"])


def _array(value: Tensor) -> np.ndarray:
    value = value.detach()
    return (value.float() if value.dtype == torch.bfloat16 else value).numpy()  # numpy has no bfloat16


_WRITERS = {"original": _original, "timm": _timm, "transformers": _transformers, "detectron2": _detectron2}


def _beside(source: str) -> list[str]:
    """What stands beside the weights of a classifier that only transformers has a place for."""
    found = ["id2label of config.json"] if read_config(source).get("id2label") else []
    return found + (["preprocessor_config.json"] if file_beside(source, "preprocessor_config.json") else [])


def _copy_beside(source: str, folder: Path) -> list[str]:
    """Put labels and processor settings that stand beside the source into the folder; returns what does not fit."""
    if settings := file_beside(source, "preprocessor_config.json"):
        (folder / "preprocessor_config.json").write_bytes(settings.read_bytes())
    labels = {key: value for key, value in read_config(source).items() if key in ("id2label", "label2id")}
    config = json.loads((folder / "config.json").read_bytes())
    if not labels.get("id2label"):
        return []
    if len(labels["id2label"]) != config.get("num_labels"):
        return ["id2label of config.json, which has another number of labels than the weights have classes"]
    _write_json({**config, **labels}, folder / "config.json")
    return []


def _write_json(content: Mapping[str, object], path: Path) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _report(source: str, path: Path, to: str, weights: HieraWeights, written: int, left_beside: list[str]) -> None:
    licence = licence_of(source, weights.file_format)
    left_out = {what: len(names) for what, names in weights.dropped.items()}
    if to == "detectron2" and weights.classifier:
        left_out["the classifier"] = len(weights.classifier)
    if to != "detectron2" and (norms := sum(key.startswith("norm_res") for key in weights.encoder)):
        left_out["norms of maps"] = norms
    logger.info("%s: %d tensors of %s (format %s), licence %s", path, written, source, weights.file_format, licence)
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
