"""The record of a run: ``metrics.json`` and TensorBoard events, without repetitions after a resume."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np

from hiera_det.utils.files import atomic_write

__all__ = ["Records"]

logger = logging.getLogger(__name__)


class Records:
    """Writes to an output folder; one object serves all that record.

    ``metrics.json`` has one JSON object a line, with detectron2's keys, one line an iteration. Lines are that
    iteration's own values, where detectron2 writes medians of 20.

    Args:
        output_dir: the folder.
    """

    def __init__(self, output_dir: str | Path) -> None:
        self.output_dir = Path(output_dir)
        self.path = self.output_dir / "metrics.json"
        self._last: dict[str, Any] | None = None
        self._last_offset = 0
        self._events: Any = None

    def open(self, iteration: int) -> None:
        """Go on at ``iteration``: what an interrupted run recorded from there on is dropped, it comes again."""
        from torch.utils.tensorboard import SummaryWriter

        lines = _whole_lines(self.path)
        kept = [record for record in lines if record["iteration"] < iteration]
        if len(kept) < len(lines):
            logger.info("%s: dropped %d records from iteration %d on", self.path, len(lines) - len(kept), iteration)
        with atomic_write(self.path) as temporary:
            temporary.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")
        if kept:
            self._last = kept[-1]
            self._last_offset = self.path.stat().st_size - len(json.dumps(self._last)) - 1
        self._events = SummaryWriter(str(self.output_dir), purge_step=iteration, flush_secs=30)

    def write(self, record: dict[str, Any], *, to_tensorboard: bool) -> None:
        """Append a line; ``record`` holds "iteration" and scalars."""
        self._last, self._last_offset = dict(record), self.path.stat().st_size
        self._write_at(self._last_offset, record)
        if to_tensorboard:
            self._scalars(record)

    def amend(self, values: dict[str, float]) -> None:
        """Add values to the last line: those of an evaluation after that iteration."""
        if self._last is None:
            return
        self._last |= values
        self._write_at(self._last_offset, self._last)
        self._scalars({"iteration": self._last["iteration"], **values})

    def picture(self, tag: str, picture: np.ndarray, iteration: int) -> None:
        """Add an RGB uint8 (H, W, 3) picture to TensorBoard."""
        self._events.add_image(tag, picture, iteration, dataformats="HWC")

    def flush(self) -> None:
        """Bring TensorBoard's events to disk; lines of ``metrics.json`` are there at once."""
        if self._events is not None:
            self._events.flush()

    def _write_at(self, offset: int, record: dict[str, Any]) -> None:
        # One write call: a kill leaves the line as it was or as it shall be.
        with self.path.open("r+b", buffering=0) as file:
            file.seek(offset)
            file.write((json.dumps(record) + "\n").encode())

    def _scalars(self, record: dict[str, Any]) -> None:
        for name, value in record.items():
            if name != "iteration":
                self._events.add_scalar(name, value, record["iteration"])


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """Records of an earlier run, without a last line that a kill has cut."""
    if not path.is_file():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            logger.warning("%s: dropped a line that is cut short", path)
    return records
