"""What became of a file's tensors when it was loaded."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["LoadReport", "show_licence"]

logger = logging.getLogger(__name__)

_shown: set[str] = set()  # licences that this process has told of


@dataclass
class LoadReport:
    """What was loaded, and what was not.

    Attributes:
        source: as the user named it.
        file_format: one of :mod:`hiera_det.weights.formats`.
        licence: of the weights, as far as it can be told; "none": they have been trained from scratch.
        loaded: the model's tensors that come from the file.
        missing: the model's tensors that the file has nothing for; they are as they were.
        unexpected: the file's tensors that the model has no place for.
        resized: what was done, by tensor, to make it fit.
        dropped: the file's tensors that are of no use to the model, by what they are.
    """

    source: str
    file_format: str
    licence: str
    loaded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    resized: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, list[str]] = field(default_factory=dict)

    def __str__(self) -> str:
        """A line for each kind; many names are summed up by how they begin. For the licence: :func:`show_licence`."""
        lines = [f"{self.source}: format {self.file_format}", f"loaded: {len(self.loaded)} tensors"]
        lines += [f"resized: {name}: {how}" for name, how in self.resized.items()]
        kinds = {"missing": self.missing, "unexpected": self.unexpected}
        kinds |= {f"dropped, {what}": names for what, names in self.dropped.items()}
        return "\n  ".join(lines + [f"{kind}: {_summed_up(names)}" for kind, names in kinds.items() if names])


def show_licence(report: LoadReport) -> None:
    """Log the licence of weights, each licence once in a process: a known one as a warning, so that it is seen."""
    if report.licence not in ("none", *_shown):
        _shown.add(report.licence)
        level = logging.INFO if report.licence.startswith("not known") else logging.WARNING
        logger.log(level, "%s: the licence of the weights is %s", report.source, report.licence)


def _summed_up(names: Iterable[str]) -> str:
    """Names, and where they are many, how they begin and how many there are."""
    names = list(names)
    if len(names) <= 8:
        return ", ".join(names)
    begins = Counter(re.split(r"[._]", name)[0] for name in names)
    return ", ".join(f"{begin}… ({count})" for begin, count in begins.items())
