"""The CSV files that say where to look: boxes in images, times in videos."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Box", "read_boxes", "read_times"]

Box = tuple[float, float, float, float]


def read_boxes(path: str | Path) -> dict[str, tuple[Box, ...]]:
    """Read ``id,x1,y1,x2,y2``: boxes by item id, in the file's order; pixels, x2 and y2 exclusive.

    Raises:
        OSError: the file cannot be read.
        ValueError: the header is another, or a row is malformed or a box negative or without area; the line is named.
    """
    boxes: dict[str, list[Box]] = defaultdict(list)
    for where, name, numbers in _rows(path, ("id", "x1", "y1", "x2", "y2")):
        x1, y1, x2, y2 = numbers
        if x2 <= x1 or y2 <= y1:
            raise ValueError(f"{where}: box {x1:g},{y1:g},{x2:g},{y2:g} has no area; expected x1 < x2 and y1 < y2")
        boxes[name].append((x1, y1, x2, y2))
    return {name: tuple(rows) for name, rows in boxes.items()}


def read_times(path: str | Path) -> dict[str, list[float]]:
    """Read ``video_id,seconds``: ascending times by video id, in whole milliseconds.

    Raises:
        OSError: the file cannot be read.
        ValueError: the header is another, or a row is malformed, or a time negative or there twice; the line is named.
    """
    times: dict[str, set[float]] = defaultdict(set)
    for where, video, (seconds,) in _rows(path, ("video_id", "seconds")):
        time = round(seconds, 3)
        if time in times[video]:
            raise ValueError(f"{where}: second {time:.3f} of video {video!r} is there already; remove one of the rows")
        times[video].add(time)
    return {video: sorted(rows) for video, rows in times.items()}


def _rows(path: str | Path, header: tuple[str, ...]) -> Iterator[tuple[str, str, list[float]]]:
    """Give (file and line for messages, id, the other columns: finite numbers from 0 on)."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, strict=True)
        try:
            first = next(reader, [])
            if tuple(first) != header:
                raise ValueError(f"{path}, line 1: {','.join(first)!r}, expected the header {','.join(header)}")
            empty = True
            for row in filter(None, reader):
                where = f"{path}, line {reader.line_num}"
                if len(row) != len(header):
                    raise ValueError(f"{where}: {len(row)} columns, expected {len(header)}: {','.join(header)}")
                yield where, row[0], [_number(text, where) for text in row[1:]]
                empty = False
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{path}, line {reader.line_num}: not a CSV file in UTF-8 ({error})") from error
    if empty:
        raise ValueError(f"{path} has no rows below its header")


def _number(text: str, where: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise ValueError(f"{where}: {text!r}, expected a number of at least 0")
    return number
