"""Whether a model computes of weights what they were trained for: windows have no tensors that would tell."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from torch import Tensor

from hiera_det.hiera.encoder import HieraEncoder
from hiera_det.hiera.variants import variant_arguments
from hiera_det.utils.nested import shown
from hiera_det.weights.sam2 import trunk_arguments

__all__ = ["known_arguments", "warn_of_another_function"]

logger = logging.getLogger(__name__)


def known_arguments(entries: Mapping[str, Any], encoder: Mapping[str, Tensor]) -> dict[str, Any]:
    """Give the arguments of ``HieraEncoder`` that weights were trained with, as far as their file tells them.

    Args:
        entries: what the file holds beside the weights; the checkpoint of a run has its config.
        encoder: the weights under the original's names; SAM 2's tell by themselves.

    Returns:
        ``layout``, of windows ``window_sizes`` and ``global_blocks``, of SAM 2's also ``pos_embed`` and
        ``pos_embed_size``; empty: nothing is known.
    """
    with suppress(KeyError, TypeError, AttributeError, ValueError):  # there is no config, or not one of a Hiera
        node = entries["config"]["MODEL"]["HIERA"]
        if node["LAYOUT"] != "windowed":
            return {"layout": node["LAYOUT"]}
        blocks = node["GLOBAL_BLOCKS"]
        return {
            "layout": "windowed",
            "window_sizes": tuple(node["WINDOW_SIZES"]),
            "global_blocks": tuple(variant_arguments(node["NAME"])["global_blocks"] if blocks is None else blocks),
        }
    return trunk_arguments(encoder)


def warn_of_another_function(model: HieraEncoder, wanted: Mapping[str, Any], source: str) -> None:
    """Warn if a model has other arguments than its weights were trained with; the message names the keys.

    Args:
        model: with the weights.
        wanted: of :func:`known_arguments`.
        source: of the weights, for the message.
    """
    own = {
        "layout": model.layout,
        "window_sizes": model.window_sizes,
        "global_blocks": model.global_blocks,
        "pos_embed": model.pos_embed_kind,
        "pos_embed_size": tuple(model.get_parameter(model.spatial_name).shape[2:]),
    }
    if differing := [f"MODEL.HIERA.{key.upper()} {shown(wanted[key])}" for key in wanted if wanted[key] != own[key]]:
        logger.warning(
            "this model computes another function than that which %s was trained for: its accuracy is lower, at least"
            " until it is trained on. The same needs %s",
            source,
            ", ".join(differing),
        )
