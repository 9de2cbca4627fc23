"""A Hiera's weights from any source into a file, or for transformers a folder, that a peer reads."""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from hiera_det.checkpoints.formats import HieraWeights, find_hiera
from hiera_det.checkpoints.load import read_hiera
from hiera_det.checkpoints.peers import detectron2_checkpoint, original_checkpoint, timm_state, transformers_state
from hiera_det.checkpoints.transformers_config import model_config, processor_config
from hiera_det.checkpoints.variant import input_size_of, stages_of, variant_of
from hiera_det.checkpoints.zoo import licence_of
from hiera_det.files import make_folder, written_aside
from hiera_det.hiera.encoder import HieraEncoder
from hiera_det.hiera.variants import variant_arguments

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

    Raises:
        FileNotFoundError: the source cannot be had.
        FileExistsError: there is something at `output`.
        ValueError: the source cannot be read or is no whole Hiera, the format has no place for it, or `output` has
            another ending than the format's.
    """
    path = Path(output)
    _check_output(path, to)
    weights = read_hiera(source)
    try:
        _check_whole(weights.encoder)
        make_folder(path.parent, "the folder of the output")
        with written_aside(path) as aside:
            written = _WRITERS[to](weights, aside)
    except ValueError as error:
        raise ValueError(f"{source} (format {weights.file_format}): {error}") from error
    _report(source, path, to, weights, written)


def _check_output(path: Path, to: str) -> None:
    if to not in FORMATS:
        raise ValueError(f"no format is called {to!r}; there are {', '.join(FORMATS)}")
    endings = FORMATS[to]
    if path.suffix not in endings if endings else path.suffix in _FILES:
        expected = f"a file ending with {' or '.join(endings)}" if endings else "a folder"
        raise ValueError(f"{path}: for {to}, name {expected}")
    if path.exists():
        raise FileExistsError(f"{path} exists already and stays as it is; name another, or remove it")


def _check_whole(encoder: Mapping[str, Tensor]) -> None:
    """Whether it has every tensor of a Hiera and no other.

    Raises:
        ValueError: it has not; the message lists every difference.
    """
    stages = stages_of(encoder)
    if len(stages) != 4:
        raise ValueError(f"it has blocks of {len(stages)} stages only; no peer has such a model")
    video = "pos_embed_spatial" in encoder
    arguments = variant_arguments("hiera_base_16x224" if video else "hiera_base_224")
    split = "pos_embed_window" in encoder
    arguments |= {"stages": stages, "pos_embed": "absolute_win" if split else "resize"}
    arguments.pop("num_classes", None)
    with torch.device("meta"):
        own = HieraEncoder(**arguments).state_dict()
    lines = [f"missing: {key}" for key in sorted(own.keys() - encoder.keys())]
    there = {key for key in encoder if not key.startswith("norm_res")}
    lines += [f"unknown: {key}" for key in sorted(there - own.keys())]
    if lines:
        raise ValueError("it is not Hiera as the peers have it:" + "".join(f"\n  {line}" for line in lines[:40]))


def _original(weights: HieraWeights, path: Path) -> int:
    checkpoint = original_checkpoint(weights)
    torch.save(checkpoint, path)
    return len(checkpoint["model_state"])


def _timm(weights: HieraWeights, path: Path) -> int:
    state = timm_state(weights)
    if path.suffix == ".safetensors":
        _save_safetensors(state, path)
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
        (path / name).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    _save_safetensors(state, path / "model.safetensors")
    return len(state)


def _detectron2(weights: HieraWeights, path: Path) -> int:
    checkpoint = detectron2_checkpoint(weights)
    if path.suffix == ".pkl":
        checkpoint["model"] = {key: value.numpy() for key, value in checkpoint["model"].items()}
        with path.open("wb") as file:
            pickle.dump(checkpoint, file)
    else:
        torch.save(checkpoint, path)
    return len(checkpoint["model"])


_WRITERS = {"original": _original, "timm": _timm, "transformers": _transformers, "detectron2": _detectron2}


def _save_safetensors(state: Mapping[str, Tensor], path: Path) -> None:
    content = save({key: value.contiguous() for key, value in state.items()}, metadata={"format": "pt"})
    path.write_bytes(content)  # safetensors' own save_file makes files that nobody else may read


def _report(source: str, path: Path, to: str, weights: HieraWeights, written: int) -> None:
    licence = licence_of(source, weights.file_format)
    left_out = {what: len(names) for what, names in weights.dropped.items()}
    if to == "detectron2" and weights.classifier:
        left_out["the classifier"] = len(weights.classifier)
    if to != "detectron2" and (norms := sum(key.startswith("norm_res") for key in weights.encoder)):
        left_out["norms of maps"] = norms
    logger.info("%s: %d tensors of %s (format %s), licence %s", path, written, source, weights.file_format, licence)
    for what, count in left_out.items():
        logger.warning("left out: %s (%d tensors)", what, count)
