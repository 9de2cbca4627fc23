"""The formats in which Hiera circulates, told apart by their keys, and read to the original's names.

=====================  ============================================================================================
original               facebookresearch/hiera: this package's own names, those of masked autoencoders too
timm                   ``head.norm``, ``head.fc``; absolute-win models ``pos_embed_win``
sam2-timm              timm's ``HieraDet``, SAM 2's trunk: ``head.norm`` and ``pos_embed_window``
transformers           ``encoder.stages.S.layers.L`` in place of ``blocks.B``
sam2                   facebookresearch/sam2: ``image_encoder.trunk.*`` with ``mlp.layers.0`` and ``1``
sam2-transformers      ``vision_encoder.backbone.*`` with ``layer_norm1``, ``mlp.proj_in``
detectron2             a detector or action detector of this package: ``backbone.*`` beside other modules, perhaps with
                       ``module.`` or ``model.`` before all names, as wrappers for training write it
=====================  ============================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from hiera_det.weights.names import (
    SAM2,
    SAM2_NECK,
    SAM2_PARTS,
    SAM2_TRANSFORMERS,
    TIMM,
    TRANSFORMERS,
    TRANSFORMERS_DECODER,
    numbered_through,
    renamed,
)
from hiera_det.weights.read import check_numbers

__all__ = ["CLASSIFIER", "DECODER", "HEAD", "NORM", "HieraWeights", "find_hiera", "hiera_prefix", "unwrapped"]

HEAD = ("head.projection.weight", "head.projection.bias")
NORM = ("norm.weight", "norm.bias")
CLASSIFIER = (*NORM, *HEAD)


@dataclass
class HieraWeights:
    """A Hiera's tensors under the original's names.

    Attributes:
        encoder: what a ``HieraEncoder`` has, and norms of stage maps, ``norm_res2`` … ``norm_res5``.
        classifier: those of :data:`CLASSIFIER` that there are; its norm is a masked autoencoder's ``encoder_norm``.
        decoder: of a masked autoencoder, with its fusion heads and its mask token.
        decoder_config: what the tensors do not tell of it but the file does, under transformers' names:
            ``decoder_num_heads`` and ``normalize_pixel_loss``.
        neck: the lateral convolutions of SAM 2's pyramid, ``fpn_lateral2.weight`` … ``fpn_lateral5.bias``, as
            detectron2's pyramid calls them.
        arguments: of a ``HieraEncoder`` that computes what they were trained for, where their file was asked for them
            and tells them.
        dropped: names in the file of what is neither, by what they are.
        file_format: one of the module's table.
        licence: of the weights, where their file was asked for it.
    """

    encoder: dict[str, Tensor]
    classifier: dict[str, Tensor]
    decoder: dict[str, Tensor] = field(default_factory=dict)
    decoder_config: dict[str, int] = field(default_factory=dict)
    neck: dict[str, Tensor] = field(default_factory=dict)
    arguments: dict[str, Any] = field(default_factory=dict)
    dropped: dict[str, list[str]] = field(default_factory=dict)
    file_format: str = "original"
    licence: str = ""

    @property
    def decoder_shape(self) -> tuple[int, int]:
        """Channels and blocks of the decoder."""
        blocks = {key.split(".")[1] for key in self.decoder if key.startswith("decoder_blocks.")}
        return len(self.decoder["decoder_embed.weight"]), len(blocks)


_PATCHES = re.compile(
    r"(.*?)(patch_embed\.proj|embeddings\.patch_embeddings\.projection|patch_embed\.projection)\.weight"
)
_BLOCKS = re.compile(r"(blocks|encoder\.stages)\.")
DECODER = re.compile(r"decoder_.*|mask_token|multi_scale_fusion_heads\..*")
_BESIDE = ("classifier.", "encoder_norm.", "decoder.", "multiscale_fusion.")  # in transformers' models with heads
_WRAPPERS = re.compile(r"((?:module\.|model\.)*)(backbone\.)?")


def hiera_prefix(state: Mapping[str, Tensor]) -> str | None:
    """What stands before a Hiera's names in a state dict; None: there is not exactly one Hiera in it."""
    found = [match[1] for key in state if (match := _PATCHES.fullmatch(key))]
    before_blocks = {key[: match.start()] for key in state for match in _BLOCKS.finditer(key)}
    hieras = [prefix for prefix in found if prefix in before_blocks]
    return hieras[0] if len(hieras) == 1 else None


def unwrapped(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A trained model's state dict without what DistributedDataParallel ("module.") or Lightning ("model.") adds."""
    found = _WRAPPERS.match(hiera_prefix(state) or "")
    wrappers, backbone = found.groups() if found else ("", None)
    is_trained = backbone or f"{wrappers}decoder_pred.weight" in state
    return {key.removeprefix(wrappers if is_trained else ""): value for key, value in state.items()}


def find_hiera(state: Mapping[str, Tensor], source: str) -> HieraWeights:
    """Recognise the format of a state dict and name its Hiera as the original does.

    Args:
        state: of the file.
        source: the file, for the message.

    Raises:
        ValueError: there is no Hiera in it, or more than one, or tensors of its encoder, classifier or neck are not
            finite floating-point numbers.
    """
    prefix = hiera_prefix(state)
    if prefix is None:
        raise ValueError(
            f"{source} holds no Hiera, or several: its names begin {sorted(state)[:6]}; expected the names of the"
            " original, timm, transformers, SAM 2, or a detector of this package"
        )
    inside = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    outside = [key for key in state if not key.startswith(prefix)]
    file_format, inside = _recognised(inside, prefix)
    if file_format == "transformers":  # these stand beside the Hiera in transformers' models with heads
        beside = {key: state[key] for key in outside if key.startswith(_BESIDE)}
        names = [("classifier.", "head.projection."), *TRANSFORMERS_DECODER]
        theirs = {key: next(iter(renamed(renamed({key: value}, names), TRANSFORMERS))) for key, value in beside.items()}
        known = (*HEAD, "encoder_norm.weight", "encoder_norm.bias")
        taken = {key: name for key, name in theirs.items() if name in known or DECODER.fullmatch(name)}
        inside |= {name: state[key] for key, name in taken.items()}
        outside = [key for key in outside if key not in taken]
    laterals = {key: its for key in outside if file_format.startswith("sam2") and (its := _lateral(key))}
    found = _sorted_out(inside, [key for key in outside if key not in laterals], file_format)
    found.neck = {its: state[key] for key, its in laterals.items()}
    check_numbers({**found.encoder, **found.classifier, **found.neck}, source)
    return found


def _lateral(key: str) -> str:
    """Name a tensor of SAM 2's neck as detectron2's pyramid does; empty: it is none. The first is of the last map."""
    match = SAM2_NECK.fullmatch(key)
    return f"fpn_lateral{5 - int(match[1])}.{match[2]}" if match else ""


def _recognised(inside: dict[str, Tensor], prefix: str) -> tuple[str, dict[str, Tensor]]:
    """The format, and the Hiera under the original's names."""
    if any(key.startswith("encoder.stages.") for key in inside):
        return "transformers", renamed(numbered_through(inside), TRANSFORMERS)
    if "patch_embed.projection.weight" in inside:
        return "sam2-transformers", renamed(inside, SAM2_TRANSFORMERS)
    if any(".mlp.layers." in key for key in inside):
        return "sam2", renamed(inside, SAM2)
    if any(key.startswith(("head.norm.", "head.fc.")) or key == "pos_embed_win" for key in inside):
        return "sam2-timm" if "pos_embed_window" in inside else "timm", renamed(inside, TIMM)
    return "detectron2" if (wrappers := _WRAPPERS.match(prefix)) and wrappers[2] else "original", inside


def _sorted_out(inside: Mapping[str, Tensor], outside: list[str], file_format: str) -> HieraWeights:
    found = HieraWeights({}, {}, file_format=file_format)
    for key, value in inside.items():
        if key.startswith("encoder_norm."):  # of MAE; timm too makes it the classifier's
            found.classifier[key.removeprefix("encoder_")] = value
        elif key in CLASSIFIER:
            found.classifier[key] = value
        elif DECODER.fullmatch(key):
            found.decoder[key] = value
        else:  # also what no Hiera has: it is for the reader to see that the model has no such tensor
            found.encoder[key] = value
    for key in outside:
        found.dropped.setdefault(_part(key, file_format), []).append(key)
    return found


def _part(key: str, file_format: str) -> str:
    """What a tensor outside the Hiera is of."""
    parts = SAM2_PARTS if file_format.startswith("sam2") else {}
    return next((part for part, begins in parts.items() if key.startswith(begins)), "other parts of the model")
