"""Nested values of unknown origin: lists in lists that share, hold or multiply one another, without end or memory."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

__all__ = ["DEEPEST", "MOST", "check_plain", "in_lists", "shown", "walk"]

MOST = 100_000  # values
DEEPEST = 16  # levels
_CHARACTERS = 2_000_000  # of all texts; a command line has no more
_LONGEST = 500_000  # characters of a text
_BITS = 4096  # of an integer; Python writes no more than 4300 digits
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80
_SHORT.maxlong = 40
_SHORT.maxlevel = 3
_SHOWN = 200  # characters


def in_lists(value: Any) -> Iterable[Any] | None:
    """The values in a dict, list or tuple; None: it is none of these."""
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list | tuple) else None


def walk(value: Any, values_in: Callable[[Any], Iterable[Any] | None] = in_lists) -> Iterator[Any]:
    """Give a value and all that are in it, each as often as it is there, the outer ones first.

    Args:
        value: it may hold itself, or one list very often.
        values_in: what is directly in a value; None: nothing can be.

    Raises:
        ValueError: there are more than `MOST` values, or more than `DEEPEST` levels of them.
    """
    count, levels = 0, [iter([value])]
    while levels:
        for one in levels[-1]:
            count += 1
            if count > MOST:
                raise ValueError(f"it holds more than {MOST} values")
            yield one
            inner = values_in(one)
            if inner is not None:
                if len(levels) == DEEPEST:
                    raise ValueError(f"it is nested in more than {DEEPEST} levels, or holds itself")
                levels.append(iter(inner))
                break
        else:
            levels.pop()


def check_plain(value: Any) -> None:
    """Check that a value is text, a number, True, False, None, or lists and dicts of these, of bounded size.

    Raises:
        ValueError: it is not.
    """
    characters = 0
    for one in walk(value):
        if isinstance(one, Mapping):
            if wrong := [key for key in one if not isinstance(key, str)]:
                raise ValueError(f"it has the key {shown(wrong[0])}, expected text")
            characters += sum(map(len, one))
        elif isinstance(one, str):
            characters += len(one)
            if len(one) > _LONGEST:
                raise ValueError(f"it has a text of {len(one)} characters, expected at most {_LONGEST}")
        elif isinstance(one, int):
            if one.bit_length() > _BITS:
                raise ValueError(f"it has an integer of {one.bit_length()} bits, expected at most {_BITS}")
        elif one is not None and not isinstance(one, float | list | tuple):
            raise ValueError(f"it has a {type(one).__name__}, expected text, numbers, lists and mappings of them")
        if characters > _CHARACTERS:
            raise ValueError(f"its texts have more than {_CHARACTERS} characters")


def shown(value: Any) -> str:
    """A value for a message, shortened to a line."""
    text = _SHORT.repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
