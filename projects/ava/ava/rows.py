"""Rows of AVA's CSV files: read fast and checked, with the line named where one is wrong."""

from __future__ import annotations

import csv
import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

__all__ = ["TOLERANCE", "Layout", "Rows", "join_rows", "keyframe_problem", "read_rows"]

logger = logging.getLogger(__name__)

TOLERANCE = 1e-3  # how far a coordinate may be beyond [0, 1]
_NO_ACTION = -1
_BLOCK = 1 << 20  # bytes parsed at once; pyarrow reads up to 32 blocks ahead
_COLUMNS = ("video", "second", "x1", "y1", "x2", "y2", "action", "last")
_SCHEMA = pa.schema(
    [
        ("video", pa.dictionary(pa.int32(), pa.string())),
        *((name, pa.float64()) for name in ("second", "x1", "y1", "x2", "y2", "last")),
        ("action", pa.int32()),
    ]
)


@dataclass(frozen=True)
class Rows:
    """Rows of an AVA CSV, in file order.

    Attributes:
        videos: distinct video ids in order of appearance.
        video: (N,) int32 index into ``videos``.
        second: (N,) float64.
        boxes: (N, 4) float64 x1, y1, x2, y2 in [0, 1].
        action: (N,) int32, -1 where the column is empty.
        score: (N,) float64, 1.0 where there is none.
        empty: keyframes (video id, second) that a row of two columns names: nothing is there.
    """

    videos: list[str]
    video: np.ndarray
    second: np.ndarray
    boxes: np.ndarray
    action: np.ndarray
    score: np.ndarray
    empty: set[tuple[str, float]] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.video)


@dataclass(frozen=True)
class Layout:
    """How a kind of CSV uses the columns ``video,second,x1,y1,x2,y2,action[,last]``.

    Attributes:
        widths: numbers of columns that are accepted; one file has one, apart from rows ``video,second``.
        scored: the last column is a score.
        action_needed: an empty action is an error.
        corners_ordered: x1 > x2 or y1 > y2 is an error.
    """

    widths: tuple[int, ...]
    scored: bool
    action_needed: bool
    corners_ordered: bool


def read_rows(path: str | Path, layout: Layout) -> Rows:
    """Read a CSV by pyarrow; where that or a check fails, go through the file once more to name the line.

    Raises:
        OSError: the file cannot be read.
        ValueError: a row is not as ``layout`` has it, a box is outside [0, 1], a number is not finite.
    """
    try:
        rows = _parse(path, layout)
    except ValueError as error:
        _name_the_line(path, layout)
        raise ValueError(f"{path}: {error}") from error
    if not _is_sound(rows, layout):
        _name_the_line(path, layout)
    return _clipped(rows, str(path))


def join_rows(parts: dict[tuple[str, float], np.ndarray], source: str) -> Rows:
    """Person boxes by keyframe as rows.

    Args:
        parts: (N, 5) float64 x1, y1, x2, y2, score by (video id, second).
        source: where they are from, for messages.

    Raises:
        ValueError: a box is outside [0, 1] or a number is not finite; the keyframe is named.
    """
    for (video, second), part in parts.items():
        for row in part.tolist():
            problem = _box_problem(row[:4], row[4])
            if problem:
                raise ValueError(f"{source}, keyframe {video},{second:g}: {problem}")
    index = {video: i for i, video in enumerate(dict.fromkeys(video for video, _ in parts))}
    counts = [len(part) for part in parts.values()]
    table = np.concatenate([np.empty((0, 5)), *parts.values()])  # (N, 5)
    rows = Rows(
        videos=list(index),
        video=np.repeat(np.array([index[video] for video, _ in parts], dtype=np.int32), counts),
        second=np.repeat(np.array([second for _, second in parts], dtype=np.float64), counts),
        boxes=np.ascontiguousarray(table[:, :4]),
        action=np.full(len(table), -1, dtype=np.int32),
        score=table[:, 4].copy(),
        empty={keyframe for keyframe, part in parts.items() if not len(part)},
    )
    return _clipped(rows, source)


def keyframe_problem(fields: Sequence[str]) -> str | None:
    """What is wrong with a video id and a second as text, if anything."""
    if not fields[0]:
        return "the video id is empty"
    try:
        second = float(fields[1])
    except ValueError:
        return f"second {fields[1]!r} is not a number"
    return None if 0 <= second < math.inf else f"second {fields[1]}, expected a finite number from 0"


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
    names = _COLUMNS[: width if width in layout.widths else layout.widths[-1]]
    reader = pa_csv.open_csv(
        str(path),
        pa_csv.ReadOptions(column_names=names, block_size=_BLOCK, use_threads=False),
        pa_csv.ParseOptions(invalid_row_handler=on_other_width),
        pa_csv.ConvertOptions(
            column_types=_SCHEMA,
            include_columns=[name for name in names if name != "last" or layout.scored],
            null_values=[""],
        ),
    )
    rows = _fill(_allocate(_count_lines(path)), reader)
    rows.empty.update((video, float(second)) for video, second in csv.reader(short))
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
        numbers = [index.setdefault(name, len(index)) for name in video.dictionary.to_pylist()]
        rows.video[part] = np.array(numbers, dtype=np.int32)[video.indices]
        rows.second[part] = batch.column("second")
        for i, name in enumerate(("x1", "y1", "x2", "y2")):
            rows.boxes[part, i] = batch.column(name)
        rows.action[part] = batch.column("action").fill_null(_NO_ACTION)
        if "last" in batch.schema.names:
            rows.score[part] = batch.column("last")
        end = part.stop
    return Rows(list(index), rows.video[:end], rows.second[:end], rows.boxes[:end], rows.action[:end], rows.score[:end])


def _count_lines(path: str | Path) -> int:
    """Lines of the file, or one more."""
    with open(path, "rb") as file:
        return 1 + sum(block.count(b"\n") for block in iter(lambda: file.read(_BLOCK), b""))


def _first_width(path: str | Path) -> int | None:
    """Columns of the first row that is not ``video,second``; 2 where all rows are, None where there is no row."""
    width = None
    with open(path, newline="", encoding="utf-8") as file:
        for row in filter(None, csv.reader(file)):
            width = len(row)
            if width != 2:
                break
    return width


def _is_sound(rows: Rows, layout: Layout) -> bool:
    """Whether no row has a problem: :func:`_row_problem` for all at once."""
    boxes, lowest = rows.boxes, 1 if layout.action_needed else _NO_ACTION
    return bool(
        all(rows.videos)
        and all(video and 0 <= second < math.inf for video, second in rows.empty)
        and ((rows.second >= 0) & (rows.second < math.inf)).all()
        and ((boxes >= -TOLERANCE) & (boxes <= 1 + TOLERANCE)).all()
        and ((rows.action >= lowest) & (rows.action != 0)).all()
        and np.isfinite(rows.score).all()
        and not (layout.corners_ordered and (boxes[:, :2] > boxes[:, 2:]).any())
    )


def _name_the_line(path: str | Path, layout: Layout) -> None:
    """Raise for the first row with a problem, naming its line."""
    width = None
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        for row in filter(None, reader):
            problem = _row_problem(row, layout, width)
            if problem:
                raise ValueError(f"{path}, line {reader.line_num}: {problem}")
            width = len(row) if len(row) > 2 else width


def _row_problem(row: list[str], layout: Layout, width: int | None) -> str | None:
    """What is wrong with a row, if anything; ``width`` is that of the rows before."""
    expected = layout.widths if width is None else (width,)
    if len(row) not in (2, *expected):
        names = ",".join((*_COLUMNS[:-1], "score" if layout.scored else "person"))
        return f"{len(row)} columns, expected {' or '.join(map(str, expected))} ({names}) or video,second"
    problem = keyframe_problem(row)
    if problem or len(row) == 2:
        return problem
    if row[6] == "" and layout.action_needed:
        return "the action is empty"
    try:
        box, action = [float(text) for text in row[2:6]], int(row[6] or 1)
        score = float(row[7]) if layout.scored else 1.0
    except ValueError as error:
        return f"{error}; expected numbers"
    if action < 1:
        return f"action {action}, ids start at 1"
    if layout.corners_ordered and (box[0] > box[2] or box[1] > box[3]):
        return f"box {box} has its corners swapped, expected x1 <= x2 and y1 <= y2"
    return _box_problem(box, score)


def _box_problem(box: Sequence[float], score: float) -> str | None:
    if not all(-TOLERANCE <= value <= 1 + TOLERANCE for value in box):
        return f"box {list(box)} is outside [0, 1]; expected x1, y1, x2, y2 as fractions of the frame"
    return None if math.isfinite(score) else f"score {score} is not finite"


def _clipped(rows: Rows, source: str) -> Rows:
    outside = int(((rows.boxes < 0) | (rows.boxes > 1)).any(axis=1).sum())
    if outside:
        logger.info("%s: %d boxes reach beyond [0, 1] by at most %g; clipped", source, outside, TOLERANCE)
        np.clip(rows.boxes, 0, 1, out=rows.boxes)
    return rows
