"""Config keys behind an option that takes several words."""

from __future__ import annotations

import argparse

from hiera_det.config import CfgNode, value_of

__all__ = ["take_overrides"]


def take_overrides(args: argparse.Namespace, known: CfgNode, *options: str) -> None:
    """Move ``KEY VALUE`` words to ``args.overrides``: argparse gives them to the option that they stand behind.

    Args:
        args: what was parsed; changed in place.
        known: a config with every key that there may be.
        options: names of options with ``nargs="+"``.
    """
    for option in options:
        words = getattr(args, option) or []
        end = next((i for i, word in enumerate(words) if _is_key(word, known)), len(words))
        setattr(args, option, words[:end])
        args.overrides += words[end:]


def _is_key(word: str, known: CfgNode) -> bool:
    try:
        return not isinstance(value_of(known, word), CfgNode)
    except KeyError:
        return False
