"""What is wrong with a file, all at once: the first ten places, then a count."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Problems", "listed"]

SHOWN = 10
_LONGEST = 1000  # characters of a problem: a line of a file may be of any length


def listed(problems: Sequence[str]) -> str:
    """The first ten problems, a line each, and how many there are besides."""
    more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
    shown = [text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…" for text in problems[:SHOWN]]
    return "\n  ".join([*shown, *more])


class Problems:
    """Collects what is wrong, so that one run names all of it.

    Args:
        source: the file, for the message.
    """

    def __init__(self, source: object) -> None:
        self.source = source
        self._problems: list[str] = []

    def add(self, where: str, text: str) -> None:
        """Note a problem and its place, such as "line 5"."""
        self._problems.append(f"{where}: {text}")

    def raise_any(self) -> None:
        """Raise what was found, if anything.

        Raises:
            ValueError: there is a problem; the message names the file and the places.
        """
        if self._problems:
            raise ValueError(f"{self.source}, {listed(self._problems)}")
