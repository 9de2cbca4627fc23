"""What of a video could not be read: told as it comes, counted, and listed in a file."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

from hiera_det.utils.files import write_csv

__all__ = ["Failure", "Failures"]

logger = logging.getLogger(__name__)

_TOLD = 10  # failures that are told one by one


class Failure(NamedTuple):
    """Something that could not be read.

    Attributes:
        kind: "second" or "frame".
        seconds: where, since the container's start.
        reason: why, in one line.
    """

    kind: str
    seconds: float
    reason: str


class Failures:
    """The failures of one video.

    Args:
        video: the file that is read.
    """

    def __init__(self, video: Path) -> None:
        self.video = video
        self.found: list[Failure] = []

    def add(self, kind: str, seconds: float, reason: str) -> None:
        """Note one, and warn of it; of many the first alone."""
        self.found.append(Failure(kind, seconds, " ".join(reason.split())))
        if len(self.found) <= _TOLD:
            logger.warning("left out: %s at %.3f s: %s", kind, seconds, self.found[-1].reason)
        elif len(self.found) == _TOLD + 1:
            logger.warning("left out: more of %s; all are counted and listed at the end", self.video.name)

    def write(self, path: Path) -> None:
        """Write a CSV ``video,kind,seconds,reason``; without failures there is none, nor one of an earlier run.

        Raises:
            OSError: it cannot be written.
        """
        if not self.found:
            path.unlink(missing_ok=True)
            return
        rows = [(self.video.name, kind, f"{seconds:.3f}", why) for kind, seconds, why in self.found]
        write_csv(path, ("video", *Failure._fields), rows)
        logger.warning("%s could not be read; listed in %s", self._counts(), path)

    def check(self) -> None:
        """Raise for ``--strict``.

        Raises:
            ValueError: there are failures.
        """
        if self.found:
            raise ValueError(f"{self._counts()} of {self.video} could not be read (--strict); the rest is written")

    def _counts(self) -> str:
        kinds = [failure.kind for failure in self.found]
        return " and ".join(f"{kinds.count(kind)} {kind}s" for kind in dict.fromkeys(kinds))
