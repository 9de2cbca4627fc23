"""AVA's tables line by line: what is wrong in which line, and what has but one meaning though pyarrow refuses it."""

from __future__ import annotations

import csv
import logging
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hiera_det.projects.ava.rows import MAX_ACTION, NO_ACTION, Rows, box_problem, keyframe_problem
from hiera_det.utils.problems import Problems
from hiera_det.utils.text import text_lines

__all__ = ["COLUMNS", "Layout", "read_fields", "read_lines"]

logger = logging.getLogger(__name__)

COLUMNS = ("video", "second", "x1", "y1", "x2", "y2", "action", "last")


@dataclass(frozen=True)
class Layout:
    """How a kind of CSV uses the columns ``video,second,x1,y1,x2,y2,action[,last]``.

    Attributes:
        widths: numbers of columns that are accepted; one file has one, apart from rows ``video,second``.
        scored: the last column is a score.
        action_needed: an empty action, or -1, is an error.
        corners_ordered: x1 > x2 or y1 > y2 is an error.
    """

    widths: tuple[int, ...]
    scored: bool
    action_needed: bool
    corners_ordered: bool


@dataclass
class _Columns:
    """The rows as they are collected."""

    index: dict[str, int] = field(default_factory=dict)
    video: array = field(default_factory=lambda: array("i"))
    numbers: array = field(default_factory=lambda: array("d"))  # second, x1, y1, x2, y2, score of each row
    action: array = field(default_factory=lambda: array("i"))
    empty: set[tuple[str, float]] = field(default_factory=set)

    def to_rows(self) -> Rows:
        numbers = np.array(self.numbers).reshape(-1, 6)
        return Rows(
            videos=list(self.index),
            video=np.array(self.video, dtype=np.int32),
            second=numbers[:, 0].copy(),
            boxes=np.ascontiguousarray(numbers[:, 1:5]),
            action=np.array(self.action, dtype=np.int32),
            score=numbers[:, 5].copy(),
            empty=self.empty,
        )


def read_fields(path: str | Path) -> Iterator[tuple[int, list[str]]]:
    """Give the number of each line that is not empty, and its fields without spaces around them.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no text in UTF-8 or with a byte order mark, or a line has no end.
    """
    for number, line in enumerate(text_lines(path), 1):
        try:
            fields = [text.strip() for text in next(csv.reader([line], skipinitialspace=True), [])]
        except csv.Error as error:
            raise ValueError(f"{path}, line {number} is no line of a table: {error}") from error
        if any(fields):
            yield number, fields


def read_lines(path: str | Path, layout: Layout) -> Rows:
    """Read a table line by line; trailing commas and actions such as 12.0 are taken, and counted in the log.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no text, or lines are wrong: the first ten are named, with what is wrong, and all counted.
    """
    problems, taken, columns = Problems(path), Counter[str](), _Columns()
    width = None
    for number, given in read_fields(path):
        fields = _without_trailing(given, layout.widths if width is None else (width,))
        if len(fields) < len(given):
            taken["trailing commas"] += 1
        problem = _add(columns, fields, layout, width, taken)
        if problem:
            problems.add(f"line {number}", problem + _hint(fields, number))
        elif len(fields) > 2:
            width = len(fields)
    problems.raise_any()
    for what, count in taken.items():
        logger.info("%s: %d rows with %s, which are read as meant", path, count, what)
    return columns.to_rows()


def _without_trailing(fields: list[str], widths: tuple[int, ...]) -> list[str]:
    """Without empty fields at the end that the table has no column for, or with which a row has but two columns."""
    if not any(fields[2:]):
        return fields[:2]
    end = len(fields)
    while end > max(widths) and not fields[end - 1]:
        end -= 1
    return fields[:end]


def _add(columns: _Columns, fields: list[str], layout: Layout, width: int | None, taken: Counter[str]) -> str | None:
    """Add a row; where it has a problem, give that instead. ``width`` is that of the rows before."""
    expected = layout.widths if width is None else (width,)
    if len(fields) not in (2, *expected):
        names = ",".join((*COLUMNS[:-1], "score" if layout.scored else "person"))
        return f"{len(fields)} columns, expected {' or '.join(map(str, expected))} ({names}) or video,second"
    problem = keyframe_problem(fields)
    if problem:
        return problem
    if len(fields) == 2:
        columns.empty.add((fields[0], float(fields[1])))
        return None
    if not fields[6] and layout.action_needed:
        return "the action is empty"
    try:
        box = [_number(text) for text in fields[2:6]]
        action = _integer(fields[6]) if fields[6] else NO_ACTION
        score = _number(fields[7]) if layout.scored else 1.0
    except ValueError as error:
        return f"{error}; expected numbers"
    if action > MAX_ACTION or (action < 1 and (layout.action_needed or action != NO_ACTION)):
        return f"action {action}, ids start at 1" + (f" and end at {MAX_ACTION}" if action > 1 else "")
    if layout.corners_ordered and (box[0] > box[2] or box[1] > box[3]):
        return f"box {box} has its corners swapped, expected x1 <= x2 and y1 <= y2"
    problem = box_problem(box, score)
    if problem:
        return problem
    if "." in fields[6]:
        taken["actions such as 12.0"] += 1
    columns.video.append(columns.index.setdefault(fields[0], len(columns.index)))
    columns.numbers.extend((float(fields[1]), *box, score))
    columns.action.append(action)
    return None


def _number(text: str) -> float:
    if "_" in text:  # which float() takes for a separator
        raise ValueError(f"could not convert string to float: {text!r}")
    return float(text)


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        number = _number(text)
        if number.is_integer():
            return int(number)
        raise ValueError(f"{text!r} is no integer") from None


def _hint(fields: list[str], number: int) -> str:
    if len(fields) == 1 and any(separator in fields[0] for separator in ";\t "):
        return "; columns are separated by commas"
    if number == 1 and len(fields) > 2 and not any(character.isdigit() for character in fields[1]):
        return " (a header? these tables have none: remove the line)"
    return ""
