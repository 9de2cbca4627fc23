"""The CSV files that say where to look: boxes in images, times in videos."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from hiera_det.utils.problems import Problems
from hiera_det.utils.text import NotText, text_lines

__all__ = ["Box", "read_boxes", "read_times"]

Box = tuple[float, float, float, float]


def read_boxes(path: str | Path) -> dict[str, tuple[Box, ...]]:
    """Read ``id,x1,y1,x2,y2``: boxes by item id, in the file's order; pixels, x2 and y2 exclusive.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no text, the header is another, or rows are malformed or a box negative or without area; the
            lines are named.
    """
    boxes: dict[str, list[Box]] = defaultdict(list)
    problems = Problems(path)
    for where, name, numbers in _rows(path, ("id", "x1", "y1", "x2", "y2"), problems):
        x1, y1, x2, y2 = numbers
        if x2 <= x1 or y2 <= y1:
            problems.add(where, f"box {x1:g},{y1:g},{x2:g},{y2:g} has no area; expected x1 < x2 and y1 < y2")
        boxes[name].append((x1, y1, x2, y2))
    problems.raise_any()
    return {name: tuple(rows) for name, rows in boxes.items()}


def read_times(path: str | Path) -> dict[str, list[float]]:
    """Read ``video_id,seconds``: ascending times by video id, in whole milliseconds.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no text, the header is another, or rows are malformed, or a time negative or there twice; the
            lines are named.
    """
    times: dict[str, set[float]] = defaultdict(set)
    problems = Problems(path)
    for where, video, (seconds,) in _rows(path, ("video_id", "seconds"), problems):
        time = round(seconds, 3)
        if time in times[video]:
            problems.add(where, f"second {time:.3f} of video {video!r} is there already; remove one of the rows")
        times[video].add(time)
    problems.raise_any()
    return {video: sorted(rows) for video, rows in times.items()}


def _rows(path: str | Path, header: tuple[str, ...], problems: Problems) -> Iterator[tuple[str, str, list[float]]]:
    """Give (line for messages, id, the other columns: finite numbers from 0 on); other rows go to ``problems``.

    Raises:
        ValueError: it is no text, the header is another, or there are no rows.
    """
    reader = csv.reader(text_lines(path), strict=True)
    empty = True
    try:
        first = [text.strip() for text in next(reader, [])]
        if tuple(first[: len(header)]) != header or any(first[len(header) :]):
            raise ValueError(f"{path}, line 1: {','.join(first)!r}, expected the header {','.join(header)}")
        for row in reader:
            where, empty = f"line {reader.line_num}", empty and not any(row)
            if any(row):
                numbers = [_number(text) for text in row[1 : len(header)]]
                problem = _problem(row, numbers, header)
                if problem:
                    problems.add(where, problem)
                else:
                    yield where, row[0], numbers
    except (csv.Error, NotText) as error:
        raise ValueError(f"{path}, line {reader.line_num}: not a CSV file in UTF-8 ({error})") from error
    if empty:
        raise ValueError(f"{path} has no rows below its header")


def _problem(row: list[str], numbers: list[float], header: tuple[str, ...]) -> str | None:
    if len(row) < len(header) or any(row[len(header) :]):
        return f"{len(row)} columns, expected {len(header)}: {','.join(header)}"
    for text, number in zip(row[1:], numbers, strict=False):
        if not 0 <= number < math.inf:
            return f"{text!r}, expected a number of at least 0"
    return None


def _number(text: str) -> float:
    """The number, NaN where it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan
