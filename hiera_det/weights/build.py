"""A classifier or masked autoencoder with published weights in one call, as the original's functions give it."""

from __future__ import annotations

from typing import Any

from hiera_det.hiera.mae import MaskedAutoencoderHiera
from hiera_det.hiera.model import Hiera, build_hiera
from hiera_det.weights.hiera import load_hiera, read_hiera
from hiera_det.weights.zoo import ZOO, checkpoints_of

__all__ = ["pretrained_hiera"]


def pretrained_hiera(
    name: str, checkpoint: str | None = None, *, strict: bool = True, **overrides: Any
) -> Hiera | MaskedAutoencoderHiera:
    """Build a variant and load one of its published checkpoints.

    A fine-tuned checkpoint gives the number of classes; if ``num_classes`` is another one, the head is new. MAE's have
    no head.

    Args:
        name: a variant, "hiera_base_224" for example, or its masked autoencoder, "mae_hiera_base_224".
        checkpoint: one of :func:`~hiera_det.weights.zoo.checkpoints_of`; None: the fine-tuned one.
        strict: see :func:`~hiera_det.weights.hiera.load_hiera`.
        overrides: arguments of the model that take the place of the variant's.

    Raises:
        ValueError: no such variant or checkpoint, or weights that do not fit.
        FileNotFoundError: the file cannot be had; the message says what to do.
    """
    there = checkpoints_of(name)
    source = f"{name}.{checkpoint or next(iter(there), '')}"
    if source not in ZOO:
        raise ValueError(f"no published checkpoint {source}; there are {', '.join(there or ZOO)}")
    weights = read_hiera(source)
    head = weights.classifier.get("head.projection.weight")
    if head is not None:
        overrides.setdefault("num_classes", len(head))
    model = build_hiera(name, **overrides)
    load_hiera(model, weights, source, strict=strict)
    return model
