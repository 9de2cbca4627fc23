"""Label maps of a line for each action, an id and a name in either order."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator

from hiera_det.utils.problems import Problems

__all__ = ["read_label_lines"]

_ID = re.compile(r"(\d+)(?:\.0+)?")  # spreadsheets write 12.0
_ID_FIRST = re.compile(r"(\d+)\s*[:,;\t ]\s*(\S.*)")
_ID_LAST = re.compile(r"(.*\S)\s*[:,;\t]\s*(\d+)")
_HEADER_WORDS = {"id", "index", "number", "no", "name", "label", "class", "action"}

_Line = tuple[int, str]  # its number and text


def read_label_lines(text: str, problems: Problems) -> Iterator[tuple[int, int, str]]:
    """Give line, id and name of lines ``id: name``, ``id,name`` or ``name,id``; what is none goes to ``problems``.

    A semicolon, a tab or a space may stand for the comma, the space behind an id only. The first line may be a header.
    """
    given = [(number, line.strip().rstrip(",;")) for number, line in enumerate(text.split("\n"), 1)]
    lines = [(number, line) for number, line in given if line and not line.startswith("#")]
    if lines and _is_header(lines[0][1]):
        lines = lines[1:]
    if _has_more_columns(lines, problems):
        return
    pairs = {number: _split(line) for number, line in lines}
    first = [number for number, pair in pairs.items() if pair and _ID.fullmatch(pair[0])]
    last = [number for number, pair in pairs.items() if pair and _ID.fullmatch(pair[1])]
    if lines and len(first) == len(last) == len(lines):
        problems.add(f"line {lines[0][0]}", f"{lines[0][1]!r}: names that are numbers; which is the id is unclear")
        return
    places = (0, 1) if len(first) >= len(last) else (1, 0)
    for number, line in lines:
        pair = pairs[number]
        match = _ID.fullmatch(pair[places[0]]) if pair else None
        if pair and match:
            yield number, int(match[1]), pair[places[1]]
        else:
            problems.add(f"line {number}", f"{line!r} has no id" + (" where the other lines have it" if pair else ""))


def _split(line: str) -> tuple[str, str] | None:
    """The two parts of a line, one of which is an id."""
    for fields in (_fields(line, delimiter) for delimiter in ",;\t"):
        if len(fields) == 2 and all(fields) and any(map(_ID.fullmatch, fields)):
            return fields[0], fields[1]
    match = _ID_FIRST.fullmatch(line) or _ID_LAST.fullmatch(line)
    return (_without_quotes(match[1]), _without_quotes(match[2])) if match else None


def _fields(line: str, delimiter: str) -> list[str]:
    try:
        return [text.strip() for text in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])]
    except csv.Error:  # of a line too long
        return []


def _without_quotes(text: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if quoted else text


def _is_header(line: str) -> bool:
    words = {word for word in re.split(r"[^a-z]+", line.lower()) if word}
    return len(words) > 1 and len(words & _HEADER_WORDS) > 1 and not re.search(r"\d", line)


def _has_more_columns(lines: list[_Line], problems: Problems) -> bool:
    """Whether each line has three columns or more: a comma within names is not in all of them."""
    widths = {len(_fields(line, ",")) for _, line in lines}
    if len(lines) < 2 or len(widths) != 1 or max(widths) < 3:
        return False
    problems.add(f"line {lines[0][0]}", f"{lines[0][1]!r} has {max(widths)} columns, expected an id and a name")
    return True
