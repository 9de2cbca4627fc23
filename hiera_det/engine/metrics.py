"""The file of metrics: a line for each iteration of a training."""

from __future__ import annotations

import errno
import json
import logging
from pathlib import Path
from typing import Any

from hiera_det.utils.files import FULL, atomic_write, disk_full
from hiera_det.utils.text import read_text

__all__ = ["MetricsFile"]

logger = logging.getLogger(__name__)


class MetricsFile:
    """``metrics.json`` of an output folder, with detectron2's keys, one line an iteration.

    Lines are that iteration's own values, where detectron2 writes medians of 20. It is ours because Lightning's
    CSVLogger begins a new file at every start.

    Args:
        output_dir: the folder.
    """

    def __init__(self, output_dir: str | Path) -> None:
        self.path = Path(output_dir) / "metrics.json"
        self.last: dict[str, Any] | None = None
        self._last_offset = 0

    @property
    def has_evaluation(self) -> bool:
        """Whether the last line has what an evaluation gave: names with a slash, such as "bbox/AP"."""
        return any("/" in name for name in self.last or ())

    def check(self) -> None:
        """See that what is there can be gone on with.

        Raises:
            ValueError, OSError: it is no file of metrics, or cannot be read.
        """
        _complete_lines(self.path)

    def open(self, iteration: int) -> None:
        """Go on at ``iteration``: drop the lines that an interrupted run wrote from there on, which come again."""
        lines = _complete_lines(self.path)
        kept = [line for line in lines if line["iteration"] < iteration]
        if len(kept) < len(lines):
            logger.info("%s: dropped %d lines from iteration %d on", self.path, len(lines) - len(kept), iteration)
        with atomic_write(self.path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        if kept:
            self.last = kept[-1]
            self._last_offset = self.path.stat().st_size - len(json.dumps(self.last)) - 1

    def write(self, line: dict[str, Any]) -> None:
        """Append a line: "iteration" and scalars."""
        self.last, self._last_offset = dict(line), self.path.stat().st_size
        self._write_last()

    def amend(self, values: dict[str, float | None]) -> None:
        """Add values to the last line, if there is one: those of an evaluation after that iteration."""
        if self.last is not None:
            self.last |= values
            self._write_last()

    def _write_last(self) -> None:
        # One write call: a kill leaves the line as it was or as it shall be.
        line = (json.dumps(self.last) + "\n").encode()
        with self.path.open("r+b", buffering=0) as file:
            file.seek(self._last_offset)
            try:
                written = file.write(line)
            except OSError as error:
                raise disk_full(self.path, error.errno) if error.errno in FULL else error from error
            if written != len(line):  # the next line, or a resumed run, takes the place of what is cut short
                raise disk_full(self.path, errno.ENOSPC)


def _complete_lines(path: Path) -> list[dict[str, Any]]:
    """Read the lines of an earlier run, without a last one that a kill has cut.

    Raises:
        ValueError: it is another kind of file.
    """
    if not path.exists():
        return []
    lines = []
    for number, text in enumerate(read_text(path, max_bytes=None).splitlines(), 1):
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            logger.warning("%s: dropped line %d, which is cut short", path, number)
            continue
        except RecursionError:
            line = None
        if not isinstance(line, dict) or type(line.get("iteration")) is not int:
            raise ValueError(
                f"{path}, line {number}: not what a run writes, a JSON object with an iteration; move the file away, or"
                " take another OUTPUT_DIR"
            )
        lines.append(line)
    return lines
