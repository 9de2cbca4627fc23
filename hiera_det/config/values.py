"""Values of a config: by a key with dots, and those that several parts read."""

from __future__ import annotations

from typing import Any

from fvcore.common.config import CfgNode

__all__ = ["pyramid_maps", "value_of"]


def value_of(cfg: CfgNode, key: str) -> Any:
    """The value of a key with dots, such as ``"MODEL.HIERA.NAME"``.

    Raises:
        KeyError: there is no such key.
    """
    node: Any = cfg
    for name in key.split("."):
        if not isinstance(node, CfgNode) or name not in node:
            raise KeyError(key)
        node = node[name]
    return node


def pyramid_maps(cfg: CfgNode) -> list[str]:
    """The maps that a pyramid takes, of `MODEL.FPN.IN_FEATURES`: no more, as others' parameters would get no gradient.

    Raises:
        ValueError: there are none, or not all of them are in `MODEL.HIERA.OUT_FEATURES`.
    """
    taken, given = cfg.MODEL.FPN.IN_FEATURES, cfg.MODEL.HIERA.OUT_FEATURES
    if not taken or not set(taken) <= set(given):
        raise ValueError(f"MODEL.FPN.IN_FEATURES is {taken}; expected some of MODEL.HIERA.OUT_FEATURES, {given}")
    return list(taken)
