"""What an examination of data found."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from hiera_det.utils.escape import printable
from hiera_det.utils.problems import listed

__all__ = ["Findings", "some"]

_LINES = "\n"


@dataclass
class Findings:
    """Findings in order, each with whether it is a "problem", a "note" or "ok"."""

    entries: list[tuple[str, str]] = field(default_factory=list)

    def add(self, kind: str, text: str) -> None:
        """Append a finding."""
        self.entries.append((kind, text))

    @property
    def problems(self) -> list[str]:
        """Texts of the problems."""
        return [text for kind, text in self.entries if kind == "problem"]

    def show(self) -> None:
        """Print all of them.

        Raises:
            SystemExit: with 1, there are problems.
        """
        for kind, text in self.entries:
            print(f"{kind:8} {printable(text, keep=_LINES)}")
        print(f"{len(self.problems)} problems")
        if self.problems:
            raise SystemExit(1)

    def report(self, logger: logging.Logger) -> None:
        """Log everything that is no problem, notes as warnings.

        Raises:
            ValueError: there are problems; it lists the first ten.
        """
        for kind, text in self.entries:
            if kind != "problem":
                logger.log(logging.WARNING if kind == "note" else logging.INFO, "%s", text)
        if problems := self.problems:
            raise ValueError(listed(problems))


def some(items: Iterable[Any], shown: int = 5, between: str = ", ") -> str:
    """The first of them, and how many more there are."""
    every = list(items)
    more = f" and {len(every) - shown} more" if len(every) > shown else ""
    return between.join(map(str, every[:shown])) + more
