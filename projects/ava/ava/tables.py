"""AVA's tables read fast, by pyarrow in blocks; where that or a check fails, line by line."""

from __future__ import annotations

import csv
import logging
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from hiera_det.projects.ava.rows import NO_ACTION, TOLERANCE, Rows, clipped
from hiera_det.projects.ava.table_lines import COLUMNS, Layout, read_fields, read_lines
from hiera_det.utils.regular import open_regular
from hiera_det.utils.text import text_encoding

__all__ = ["read_rows"]

logger = logging.getLogger(__name__)

_SHORTEST = 13  # bytes of a row: v,1,0,0,1,1, and the end of its line
_BLOCK = 1 << 20  # bytes parsed at once; pyarrow reads up to 32 blocks ahead
_SCHEMA = pa.schema(
    [
        ("video", pa.dictionary(pa.int32(), pa.string())),
        *((name, pa.float64()) for name in ("second", "x1", "y1", "x2", "y2", "last")),
        ("action", pa.int32()),
    ]
)


def read_rows(path: str | Path, layout: Layout) -> Rows:
    """Read a table; boxes are clipped to the frame, and those that reached beyond it counted in the log.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no text, or rows are not as ``layout`` has it, boxes too far outside [0, 1], numbers not
            finite: the first ten lines are named, and all counted.
    """
    try:
        rows = _parse(path, layout)
        sound = _is_sound(rows, layout)
    except (ValueError, csv.Error):
        sound = False
    return clipped(rows if sound else read_lines(path, layout), str(path))


def _parse(path: str | Path, layout: Layout) -> Rows:
    short: list[str] = []

    def on_other_width(row: pa_csv.InvalidRow) -> str:
        if row.actual_columns != 2:
            return "error"
        short.append(row.text)
        return "skip"

    width = _first_width(path)
    if width is None:
        return _allocate(0)
    names = COLUMNS[: width if width in layout.widths else layout.widths[-1]]
    reader = pa_csv.open_csv(
        str(path),
        pa_csv.ReadOptions(
            column_names=names,
            block_size=_BLOCK,
            use_threads=False,
            encoding=text_encoding(path).removesuffix("-sig"),  # pyarrow skips UTF-8's mark itself
        ),
        pa_csv.ParseOptions(invalid_row_handler=on_other_width),
        pa_csv.ConvertOptions(
            column_types=_SCHEMA,
            include_columns=[name for name in names if name != "last" or layout.scored],
            null_values=[""],
        ),
    )
    rows = _fill(_allocate(_count_lines(path)), reader)
    rows.empty.update((video.strip(), float(second)) for video, second in csv.reader(short))
    return rows


def _allocate(count: int) -> Rows:
    return Rows(
        videos=[],
        video=np.empty(count, np.int32),
        second=np.empty(count),
        boxes=np.empty((4, count)).T,  # (N, 4), filled and used by columns
        action=np.empty(count, np.int32),
        score=np.ones(count),
    )


def _fill(rows: Rows, batches: Iterable[pa.RecordBatch]) -> Rows:
    """Put the batches into ``rows``, and return those that are filled."""
    index: dict[str, int] = {}
    end = 0
    for batch in batches:
        part = slice(end, end + len(batch))
        video = batch.column("video")
        numbers = [index.setdefault(name.strip(), len(index)) for name in video.dictionary.to_pylist()]
        rows.video[part] = np.array(numbers, dtype=np.int32)[video.indices]
        rows.second[part] = batch.column("second")
        for i, name in enumerate(("x1", "y1", "x2", "y2")):
            rows.boxes[part, i] = batch.column(name)
        rows.action[part] = batch.column("action").fill_null(NO_ACTION)
        if "last" in batch.schema.names:
            rows.score[part] = batch.column("last")
        end = part.stop
    return Rows(list(index), rows.video[:end], rows.second[:end], rows.boxes[:end], rows.action[:end], rows.score[:end])


def _count_lines(path: str | Path) -> int:
    """Rows that the file has at most, by its lines and size: memory that stays untouched costs nothing."""
    size = 0
    lines = 1
    with open_regular(path) as file:
        while block := file.read(_BLOCK):
            lines += block.count(b"\n") + block.count(b"\r")
            size += len(block)
    return min(lines, 1 + size // _SHORTEST)


def _first_width(path: str | Path) -> int | None:
    """Columns of the first row that is not ``video,second``; 2 where all rows are, None where there is no row."""
    width = None
    for _, fields in read_fields(path):
        width = len(fields)
        if width != 2:
            break
    return width


def _is_sound(rows: Rows, layout: Layout) -> bool:
    """Whether no row has a problem: what :func:`read_lines` looks for, for all at once."""
    boxes, lowest = rows.boxes, 1 if layout.action_needed else NO_ACTION
    return bool(
        all(rows.videos)
        and not any("\0" in video or "\ufeff" in video for video in rows.videos)
        and all(video and "\ufeff" not in video and 0 <= second < math.inf for video, second in rows.empty)
        and ((rows.second >= 0) & (rows.second < math.inf)).all()
        and ((boxes >= -TOLERANCE) & (boxes <= 1 + TOLERANCE)).all()
        and ((rows.action >= lowest) & (rows.action != 0)).all()
        and np.isfinite(rows.score).all()
        and not (layout.corners_ordered and (boxes[:, :2] > boxes[:, 2:]).any())
    )
