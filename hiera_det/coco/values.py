"""Values of a COCO JSON that have one meaning, whatever their type: taken, and counted by what was odd about them."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Any

__all__ = ["FieldError", "Values", "shown"]

_INTEGER = re.compile(r"\s*[+-]?\d{1,19}(\.0*)?\s*", re.ASCII)
_LIMIT = 2**63  # ids are kept as 64-bit integers
_SHOWN = 60  # characters of a value in a message


class FieldError(ValueError):
    """A field that is not as expected; the message says which and what came."""


def shown(value: Any) -> str:
    """A value for a message, cut to a sensible length: numbers and lists may be of any."""
    if isinstance(value, int) and abs(value) >= _LIMIT:
        return f"an integer of {value.bit_length()} bits"
    text = repr(value[:8] if isinstance(value, list) else value)
    if isinstance(value, list) and len(value) > 8:
        text = f"{text[:-1]}, …]"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


class Values:
    """Reads fields of entries.

    Attributes:
        taken: how many values were taken in spite of their type, by a description.
    """

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()

    def integer(self, entry: dict[str, Any], key: str) -> int:
        """An integer; also one that is written as a decimal number or as text.

        Raises:
            FieldError: the field is missing or something else.
        """
        if key not in entry:
            raise FieldError(f"field {key!r} is missing")
        value = entry[key]
        if type(value) is int and abs(value) < _LIMIT:
            return value
        if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
            self.taken["integers that are written as decimal numbers"] += 1
            return int(value)
        if isinstance(value, str) and _INTEGER.fullmatch(value) and abs(number := int(float(value))) < _LIMIT:
            self.taken["integers that are written as text"] += 1
            return number if "." in value else int(value)
        raise FieldError(f"field {key!r} is {shown(value)}, expected int")

    def text(self, entry: dict[str, Any], key: str) -> str:
        """A text.

        Raises:
            FieldError: the field is missing, something else, or cannot be encoded.
        """
        if key not in entry:
            raise FieldError(f"field {key!r} is missing")
        value = entry[key]
        if not isinstance(value, str):
            raise FieldError(f"field {key!r} is {shown(value)}, expected str")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise FieldError(f"field {key!r} is {shown(value)}, which is no valid text ({error.reason})") from error
        return value

    def number(self, value: Any) -> float:
        """A finite number; also one that is written as text. NaN: it is something else."""
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            return math.nan
        try:
            number = float(value)
        except (ValueError, OverflowError):
            return math.nan
        if isinstance(value, str) and math.isfinite(number):
            self.taken["coordinates that are written as text"] += 1
        return number if math.isfinite(number) else math.nan

    def flag(self, entry: dict[str, Any], key: str) -> bool:
        """0 or 1, also as true and false, as a decimal number or text; 0 where it is missing or null.

        Raises:
            FieldError: it is something else.
        """
        value = entry.get(key)
        if value is None:
            return False
        try:
            number = int(value) if isinstance(value, bool) else self.integer(entry, key)
        except FieldError:
            number = -1
        if number not in (0, 1):
            raise FieldError(f"field {key!r} is {shown(value)}, expected 0 or 1")
        return bool(number)
