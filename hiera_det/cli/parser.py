"""The parser of every command: groups of options, lists of values, and ``KEY VALUE`` words that change the config."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from hiera_det.config import CfgNode, value_of

__all__ = ["CommandParser", "Group", "is_key", "take_keys"]

_KEY = re.compile(r"[A-Z][A-Z0-9_]*(\.[A-Z][A-Z0-9_]*)+")  # MODEL.RESNETS.DEPTH

Group = Any  # argparse's group, whose class is private


class CommandParser(argparse.ArgumentParser):
    """A parser with the description of a module, as it is written.

    Args:
        description: the module's docstring; its first sentence is the command's help.

    Attributes:
        program: what help and errors call it; None: the script's name.
    """

    program: ClassVar[str | None] = None

    def __init__(self, description: str | None) -> None:
        super().__init__(
            prog=self.program or Path(sys.argv[0]).name,
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self._lists: list[str] = []

    def add_list(self, group: Group, flag: str, **arguments: Any) -> None:
        """Add an option of several words to a group."""
        self._lists.append(group.add_argument(flag, nargs="+", **arguments).dest)

    def add_overrides(self) -> None:
        """Take ``KEY VALUE`` words anywhere on the command line."""
        self.add_argument(
            "overrides", nargs="*", metavar="KEY VALUE", help="config keys and their values: SOLVER.MAX_ITER 100"
        )

    def parse_with_keys(
        self, arguments: Sequence[str] | None, known: Callable[[argparse.Namespace], CfgNode]
    ) -> argparse.Namespace:
        """Parse, and move ``KEY VALUE`` words to ``overrides``: argparse gives them to a list that they stand behind.

        Args:
            arguments: of the command line; None: those of the process.
            known: from what was parsed to a config with every key that there may be.
        """
        args = self.parse_intermixed_args(arguments)
        if any(getattr(args, name) for name in self._lists):
            take_keys(args, self._lists, known(args))
        for name in self._lists:
            setattr(args, name, getattr(args, name) or [])
        return args


def take_keys(args: argparse.Namespace, lists: Iterable[str], known: CfgNode) -> None:
    """Move ``KEY VALUE`` words from the ends of lists to ``args.overrides``.

    Args:
        args: what was parsed; changed in place.
        lists: names of options of several words.
        known: a config with every key that there may be.
    """
    for name in lists:
        words = getattr(args, name) or []
        end = next((i for i, word in enumerate(words) if is_key(word, known)), len(words))
        setattr(args, name, words[:end])
        args.overrides += words[end:]


def is_key(word: str, known: CfgNode) -> bool:
    """Whether a word is a key that is known, or looks like one, as those of another backend or of detectron2 alone."""
    try:
        return not isinstance(value_of(known, word), CfgNode)
    except KeyError:
        return _KEY.fullmatch(word) is not None and word.partition(".")[0] in known and not Path(word).exists()
