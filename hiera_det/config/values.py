"""Values of a config: by a key with dots, and those that several parts read."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from fvcore.common.config import CfgNode

__all__ = ["floats_of_integers", "literal_of", "pyramid_maps", "value_of", "with_values"]


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


def with_values(cfg: CfgNode, values: Mapping[str, Any]) -> CfgNode:
    """Give a copy of a frozen config with other values, which are taken as they are.

    Args:
        cfg: the config; not changed.
        values: by key with dots, such as ``"SOLVER.MAX_ITER"``; all keys are there already.
    """
    changed = cfg.clone()
    changed.defrost()
    for key, value in values.items():
        node, _, last = key.rpartition(".")
        (value_of(changed, node) if node else changed)[last] = value
    changed.freeze()
    return changed


def floats_of_integers(value: Any, default: Any) -> Any:
    """Give a value with its integers as floats where its key has floats: fvcore's type check takes 0 for no float.

    Args:
        value: as from a YAML file or a command line, where text may hold a literal; nested dicts for a node.
        default: the value of the same key in a config: a float, a list or tuple of floats (nested ones too) or a node.

    Returns:
        The value; a new one where something in it has changed. What is no integer stays, for the type check.

    Raises:
        ValueError: as of :func:`literal_of`.
    """
    if isinstance(default, Mapping):
        if not isinstance(value, Mapping):
            return value
        return {
            key: floats_of_integers(inner, default[key]) if key in default else inner for key, inner in value.items()
        }
    if not _has_floats(default):
        return value
    return _as_floats(literal_of(value) if isinstance(value, str) else value)


def literal_of(text: str) -> Any:
    """The value that a text stands for as a Python literal; where it is none, the text itself.

    Raises:
        ValueError: it is nested too deeply, or no value that there can be.
    """
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    except (TypeError, MemoryError, RecursionError) as error:
        raise ValueError("it is nested too deeply, or no value of Python") from error


def _has_floats(default: Any) -> bool:
    if isinstance(default, list | tuple):
        return bool(default) and all(_has_floats(inner) for inner in default)
    return isinstance(default, float)


def _as_floats(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_as_floats(inner) for inner in value)
    if type(value) is not int:  # True is none either
        return value
    try:
        return float(value)
    except OverflowError:
        return value


def pyramid_maps(cfg: CfgNode) -> list[str]:
    """The maps that a pyramid takes, of `MODEL.FPN.IN_FEATURES`: no more, as others' parameters would get no gradient.

    Raises:
        ValueError: there are none, or not all of them are in `MODEL.HIERA.OUT_FEATURES`.
    """
    taken, given = cfg.MODEL.FPN.IN_FEATURES, cfg.MODEL.HIERA.OUT_FEATURES
    if not taken or not set(taken) <= set(given):
        raise ValueError(f"MODEL.FPN.IN_FEATURES is {taken}; expected some of MODEL.HIERA.OUT_FEATURES, {given}")
    return list(taken)
