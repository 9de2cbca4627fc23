"""SAM 2's image encoder in the models of this package: its trunk's windows, and its neck as a pyramid's laterals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from hiera_det.hiera.variants import SAM2_TRUNKS, variant_arguments
from hiera_det.weights.state_dicts import has_background
from hiera_det.weights.variant import published_name

__all__ = ["laterals_of", "trunk_arguments"]


def trunk_arguments(encoder: Mapping[str, Tensor]) -> dict[str, Any]:
    """Give the arguments of ``HieraEncoder`` that make it SAM 2's trunk, where an encoder is one; else nothing.

    Args:
        encoder: a state dict under the original's names.

    Returns:
        ``layout``, ``window_sizes``, ``global_blocks``, ``pos_embed`` and ``pos_embed_size``.
    """
    name = published_name(encoder) if has_background(encoder) else None
    if name not in SAM2_TRUNKS:
        return {}
    return {**SAM2_TRUNKS[name], "global_blocks": variant_arguments(name)["global_blocks"]}


def laterals_of(neck: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the tensors of SAM 2's neck that a detector has a place for: lateral convolutions of the same maps.

    A lateral convolution that is followed by a norm has no bias.

    Args:
        neck: of :class:`~hiera_det.weights.formats.HieraWeights`.
        own: the detector's state dict under detectron2's names.

    Returns:
        By the detector's name.
    """
    places = {f"backbone.{name}": tensor for name, tensor in neck.items()}
    return {name: tensor for name, tensor in places.items() if name in own and own[name].shape == tensor.shape}
