"""A Hiera's weights as other packages' state dicts, strict; formats say nothing of window layouts, nor do these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from hiera_det.hiera import pos_embed as pe
from hiera_det.weights.formats import NORM, HieraWeights
from hiera_det.weights.names import TIMM, TRANSFORMERS, TRANSFORMERS_DECODER, Names, by_stage, renamed
from hiera_det.weights.variant import stages_of

__all__ = ["detectron2_checkpoint", "has_background", "original_checkpoint", "timm_state", "transformers_state"]

UNIT = (8, 8)  # tokens of a mask unit, in every published model
MAE_NORM = (("norm.", "encoder_norm."),)
GRID = (56, 56)  # tokens of 224 x 224 pixels, for which every published model has its embedding


def original_checkpoint(weights: HieraWeights) -> dict[str, Any]:
    """The original's file: ``{"model_state": …}``, with the classifier or the decoder of MAE as far as there is one.

    Raises:
        ValueError: the position embedding is one that the original does not have.
    """
    beside = {**renamed(weights.classifier, MAE_NORM), **weights.decoder} if weights.decoder else weights.classifier
    return {"model_state": {**_plain(_encoder(weights), "the original's Hiera"), **beside}}


def timm_state(weights: HieraWeights) -> dict[str, Tensor]:
    """The state dict of timm's ``Hiera``; of a SAM 2 trunk that of timm's ``HieraDet``.

    Raises:
        ValueError: the weights are of a video model, or of a classifier with a SAM 2 trunk's embedding.
    """
    _check_image(weights, "timm")
    encoder = _encoder(weights)
    is_sam2 = has_background(encoder)
    if is_sam2 and "head.projection.weight" in weights.classifier:  # a norm alone is in timm's own files
        raise ValueError(
            "the position embedding is one as in SAM 2's trunks, and there is a classifier: timm's Hiera has no such"
            " embedding, its HieraDet other windows; convert to detectron2, which leaves the classifier out"
        )
    state = encoder if is_sam2 else _plain(encoder, "timm's Hiera")
    return _theirs({**state, **weights.classifier}, tuple(pair for pair in TIMM if pair[1][-1] == "."))


def transformers_state(weights: HieraWeights) -> dict[str, Tensor]:
    """The state dict of ``HieraForImageClassification``, or where there is no classifier of ``HieraModel``; of a masked
    autoencoder that of ``HieraForPreTraining``.

    Raises:
        ValueError: the weights are of a video model or a SAM 2 trunk.
    """
    _check_image(weights, "transformers")
    state = {**_plain(_encoder(weights), "transformers' Hiera"), **weights.classifier}
    head = {key: state.pop(key) for key in weights.classifier if key.startswith("head.projection.")}
    stages = stages_of(state)
    if weights.decoder:
        norm = {f"encoder_{key}": state.pop(key) for key in NORM}
    state = by_stage(_theirs(state, TRANSFORMERS), stages)
    if weights.decoder:
        decoder = _theirs(_theirs(weights.decoder, TRANSFORMERS), TRANSFORMERS_DECODER)
        return {f"hiera.{key}": value for key, value in state.items()} | norm | decoder
    if not head:
        return state
    return {f"hiera.{key}": value for key, value in state.items()} | renamed(
        head, [("head.projection.", "classifier.")]
    )


def _theirs(state: Mapping[str, Tensor], names: Names) -> dict[str, Tensor]:
    return renamed(state, [(ours, theirs) for theirs, ours in names])


def detectron2_checkpoint(weights: HieraWeights) -> dict[str, Any]:
    """A file for detectron2's checkpointer, which matches names by their ends and cannot fit an embedding.

    The embedding is split as ``absolute_win`` has it; a global part of another size is resized to 56 x 56, but SAM 2's
    keeps its own, for a model with its ``pos_embed_size``. SAM 2's neck goes to the laterals of a pyramid. The
    classifier is left out: its ``norm`` would match layers of a pyramid. What is missing is for the checkpointer to
    report.
    """
    state = dict(weights.encoder)
    pe.split_plain(state, UNIT)
    name = _spatial_name(state)
    if name in state and state[name].ndim == 4 and not has_background(state):
        state[name] = pe.resize(state[name], GRID)
    return {"model": {**state, **weights.neck}, "matching_heuristics": True}


def _encoder(weights: HieraWeights) -> dict[str, Tensor]:
    """Without norms of maps, which no other package has there."""
    return {key: value for key, value in weights.encoder.items() if not key.startswith("norm_res")}


def _spatial_name(state: Mapping[str, Tensor]) -> str:
    return "pos_embed_spatial" if "pos_embed_spatial" in state else "pos_embed"


def has_background(state: Mapping[str, Tensor]) -> bool:
    """Whether the global part is resized whenever the model runs, as that of SAM 2's trunks.

    It is so if mask units do not tile it.
    """
    if "pos_embed_window" not in state:
        return False
    sides = zip(state[_spatial_name(state)].shape[-2:], state["pos_embed_window"].shape[-2:], strict=True)
    return any(side % unit for side, unit in sides)


def _plain(state: dict[str, Tensor], model: str) -> dict[str, Tensor]:
    """The state dict with a split embedding added up at its own grid."""
    name = _spatial_name(state)
    if "pos_embed_window" not in state:
        return state
    if has_background(state):
        raise ValueError(
            f"{name} is a part of {state[name].shape[-2]} x {state[name].shape[-1]} that is resized as the model runs,"
            f" as in SAM 2's trunks, which attend in other windows than {model} does; convert to timm or detectron2"
        )
    state = dict(state)
    window, size = state.pop("pos_embed_window"), (state[name].shape[-2], state[name].shape[-1])
    state[name] = pe.absolute_win(state[name], window, size).flatten(2).transpose(1, 2).contiguous()  # (1, H * W, C)
    return state


def _check_image(weights: HieraWeights, package: str) -> None:
    if "pos_embed_spatial" in weights.encoder:
        raise ValueError(f"the weights are a video model's, of which {package} has none; convert to original")
