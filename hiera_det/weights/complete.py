"""Whether a file's tensors are those of a complete Hiera."""

from __future__ import annotations

import torch

from hiera_det.hiera.mae import MaskedAutoencoderHiera
from hiera_det.hiera.model import Hiera, build_hiera
from hiera_det.weights.formats import HieraWeights
from hiera_det.weights.variant import stages_of

__all__ = ["check_complete"]

_POSITIONS = ("pos_embed", "pos_embed_spatial", "pos_embed_temporal", "decoder_pos_embed")


def check_complete(weights: HieraWeights) -> None:
    """Check that it has every tensor of a Hiera, in its shape, and no other; classifier and final norm as far as there.

    Raises:
        ValueError: it has not; the message lists every difference.
    """
    stages = stages_of(weights.encoder)
    if len(stages) != 4 or min(stages) < 1:
        raise ValueError(f"it has blocks of {len(stages)} stages only, expected those of 4")
    there = {**weights.encoder, **weights.classifier, **weights.decoder}
    parts = {key.rpartition(".")[0] for key in there}
    own = {
        key.removeprefix("encoder_"): value.shape
        for key, value in _on_meta(weights, stages).state_dict().items()
        if not key.startswith(("norm.", "head.")) or key.rpartition(".")[0] in parts
    }
    lines = [f"missing: {key}" for key in sorted(own.keys() - there.keys())]
    lines += [f"unknown: {key}" for key in sorted(there.keys() - own.keys()) if not key.startswith("norm_res")]
    lines += [
        f"{key}: {tuple(there[key].shape)} in the file, expected {wanted}"
        for key in sorted(own.keys() & there.keys())
        if (wanted := _any_size(key, tuple(own[key]), tuple(there[key].shape))) != tuple(there[key].shape)
    ]
    if lines:
        raise ValueError("it is not Hiera as other packages have it:" + "".join(f"\n  {x}" for x in lines[:40]))


def _on_meta(weights: HieraWeights, stages: tuple[int, ...]) -> Hiera | MaskedAutoencoderHiera:
    """A model without numbers, of the file's width, blocks and classes; with a decoder, the masked autoencoder."""
    kernel, head = weights.encoder["patch_embed.proj.weight"], weights.classifier.get("head.projection.weight")
    if kernel.ndim not in (4, 5):
        raise ValueError(f"patch_embed.proj.weight is of shape {tuple(kernel.shape)}, expected (C, 3, (3,) 7, 7)")
    variant = "hiera_base_16x224" if "pos_embed_spatial" in weights.encoder else "hiera_base_224"
    arguments = {
        "embed_dim": len(kernel),
        "stages": stages,
        "pos_embed": "absolute_win" if "pos_embed_window" in weights.encoder else "resize",
    }
    if weights.decoder:
        embed = weights.decoder.get("decoder_embed.weight")
        if embed is None or embed.ndim != 2:
            raise ValueError("it has parts of the decoder of MAE, but no decoder_embed.weight")
        width, depth = weights.decoder_shape
        of_decoder = {"decoder_embed_dim": width, "decoder_depth": max(depth, 1), "decoder_num_heads": 1}
        variant, arguments = f"mae_{variant}", {**arguments, **of_decoder}
    else:
        arguments["num_classes"] = len(head) if head is not None and head.ndim else 1
    with torch.device("meta"):
        return build_hiera(variant, **arguments)


def _any_size(key: str, own: tuple[int, ...], there: tuple[int, ...]) -> tuple[int, ...]:
    """The shape to expect: position embeddings may be of any size."""
    if key not in _POSITIONS or len(own) != len(there):
        return own
    return (own[0], there[1], own[2]) if len(own) == 3 else (*own[:2], *there[2:])
