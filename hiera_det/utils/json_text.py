"""JSON of unknown origin: whatever is in a file, a plain value or one line that says what is wrong."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from hiera_det.utils.text import read_text

__all__ = ["parse_json", "read_json", "read_json_object"]

_DEEPEST = 100  # levels
_LIMIT = 2**63  # of integers, which are kept in 64 bits


def parse_json(text: str) -> Any:
    """The value that a text stands for, of which nothing but its form is checked.

    Raises:
        ValueError: it is no JSON, or nested too deeply.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not a JSON file ({_why_no_json(text, error)})") from error


def read_json(path: str | Path) -> Any:
    """Read a file of settings: of numbers that are finite and fit 64 bits, and of text that can be encoded.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no text, too large, no JSON, or has values that are none of those; the message names it.
    """
    text = read_text(path)
    try:
        value = parse_json(text)
        _check_values(value)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return value


def read_json_object(path: str | Path) -> dict[str, Any]:
    """Read a file of settings that is an object.

    Raises:
        OSError: the file cannot be read.
        ValueError: as of :func:`read_json`, or it holds something else.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds a {type(value).__name__}, expected an object")
    return value


def _check_values(value: Any) -> None:
    level = [value]
    for _ in range(_DEEPEST):
        if not level:
            return
        for one in level:
            _check_plain(one)
        lists = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        keys = [key for one in level if isinstance(one, dict) for key in one]
        level = [*keys, *(inner for one in lists for inner in one)]
    raise ValueError(f"it is nested in more than {_DEEPEST} levels")


def _check_plain(value: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"it has the number {value}, expected finite ones")
    if isinstance(value, int) and not -_LIMIT <= value < _LIMIT:
        raise ValueError(f"it has an integer of {value.bit_length()} bits, expected at most 64")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"it has {value[:20]!r}, which is no valid text ({error.reason})") from error


def _why_no_json(text: str, error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    start = text[:200].lstrip()
    if start.startswith("version https://git-lfs"):
        return "it is a pointer of Git LFS; fetch the file itself by git lfs pull"
    if start.startswith("<"):
        return "it begins as HTML or XML"
    return str(error) if start or not isinstance(error, json.JSONDecodeError) else "it is empty"
