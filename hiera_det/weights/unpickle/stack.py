"""The stack of a pickle's machine, its notes, and the containers that are filled on it."""

from __future__ import annotations

from typing import Any

from hiera_det.weights.unpickle.keys import check_key
from hiera_det.weights.unpickle.limits import Limits

__all__ = ["Stack"]

_SET = 3  # what a set costs besides its instruction: it takes the memory of so many values


class Stack:
    """What the instructions of a pickle work on.

    All methods raise IndexError where they take more than there is, and ValueError where it is of the wrong kind.

    Args:
        limits: of the file.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.values: list[Any] = []  # since the last mark
        self._below: list[list[Any]] = []  # what is under each mark
        self._notes: list[Any] = []

    def push(self, value: Any) -> None:
        """Put a value on it."""
        self.values.append(value)

    def pop(self) -> Any:
        """Take the last value."""
        return self.values.pop()

    def drop(self) -> None:
        """Forget the last value, or the last mark if it is there."""
        if self.values:
            self.values.pop()
        else:
            self.values = self._below.pop()

    def repeat(self) -> None:
        """Put the last value on it once more."""
        self.values.append(self.values[-1])

    def mark(self) -> None:
        """Begin a row of values."""
        self._below.append(self.values)
        self.values = []

    def row(self) -> list[Any]:
        """Take the values since the last mark, and the mark."""
        values, self.values = self.values, self._below.pop()
        return values

    def read_note(self, index: int) -> None:
        """Put a value on it that was noted."""
        if not 0 <= index < len(self._notes):
            raise ValueError(f"it reads the note {index}, which was not written")
        self.values.append(self._notes[index])

    def note_next(self) -> None:
        """Note the last value under the next number."""
        self._notes.append(self.values[-1])

    def note(self, index: int) -> None:
        """Note the last value; all picklers number them one after another, some from 1."""
        count, value = len(self._notes), self.values[-1]
        if not 0 <= index <= count + 1:
            raise ValueError(f"it writes the note {index} after {count} others")
        if index < count:
            self._notes[index] = value
        for _ in range(count, index + 1):
            self._notes.append(value)

    def join(self, count: int) -> None:
        """Make a tuple of the last values."""
        if len(self.values) < count:
            raise IndexError
        joined = tuple(self.values[-count:])
        del self.values[-count:]
        self.values.append(joined)

    def extend(self, values: list[Any]) -> None:
        """Append to the list that is last."""
        target = self.values[-1]
        if type(target) is not list:
            raise ValueError(f"it appends to a {type(target).__name__}, expected a list")
        target.extend(values)

    def new_dict(self, values: list[Any]) -> None:
        """Put a dict of keys and values in turn on it."""
        self.values.append({})
        self.update(values)

    def update(self, values: list[Any]) -> None:
        """Set keys and values in turn of the dict that is last."""
        target = self.values[-1]
        if not isinstance(target, dict) or len(values) % 2:
            raise ValueError(f"it sets {len(values)} keys and values of a {type(target).__name__}")
        target.update(zip(self._members(values[::2]), values[1::2], strict=True))

    def new_set(self) -> None:
        """Put an empty set on it."""
        self._limits.take_values(_SET)
        self.values.append(set())

    def new_frozen_set(self) -> None:
        """Put a set of the values since the last mark on it."""
        self._limits.take_values(_SET)
        members = frozenset(self._members(self.row()))
        self.values.append(members)

    def add(self, values: list[Any]) -> None:
        """Add to the set that is last."""
        target = self.values[-1]
        if type(target) is not set:
            raise ValueError(f"it adds to a {type(target).__name__}, expected a set")
        target.update(self._members(values))

    def _members(self, values: list[Any]) -> list[Any]:
        for value in values:
            if type(value) is not str:
                check_key(value, self._limits)
        return values
