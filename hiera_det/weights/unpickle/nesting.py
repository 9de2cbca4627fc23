"""How values lie within one another: what follows may then go through them by recursion."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["check_nesting"]

_LEVELS = 50
_VALUES = 1 << 24  # each counted wherever it is: a few lists in one another can stand for more than any memory holds


@dataclass
class _Open:
    """A container whose values are being looked at; height and count are of those looked at so far."""

    container: Any
    values: Iterator[Any]
    height: int = 1
    count: int = 1

    def add(self, height: int, count: int) -> None:
        self.height, self.count = max(self.height, height + 1), self.count + count
        if self.height > _LEVELS:
            raise ValueError(f"it holds values in more than {_LEVELS} levels")
        if self.count > _VALUES:
            raise ValueError(f"it holds more than {_VALUES} values, each counted wherever it is")


def check_nesting(value: Any, is_single: Callable[[Any], bool]) -> None:
    """Check that values lie in one another in few levels, do not multiply, and that all others are known.

    Args:
        value: of dicts, lists, tuples and sets.
        is_single: whether what is none of these may be there.

    Raises:
        ValueError: it is something else.
    """
    levels = [_Open(None, iter([value]))]
    done: dict[int, tuple[int, int]] = {}  # height and count by identity
    inside: set[int] = set()
    while True:
        level = levels[-1]
        for one in level.values:
            inner = _values_in(one)
            if inner is None:
                if not is_single(one):
                    raise ValueError(f"it holds a {type(one).__name__}, which is not plain data")
                level.count += 1
            elif id(one) in done:
                level.add(*done[id(one)])
            elif id(one) in inside:
                raise ValueError(f"a {type(one).__name__} in it holds itself")
            elif len(levels) > _LEVELS:
                level.add(_LEVELS, 1)
            else:
                inside.add(id(one))
                levels.append(_Open(one, inner))
                break
        else:
            levels.pop()
            if not levels:
                return
            done[id(level.container)] = level.height, level.count
            levels[-1].add(level.height, level.count)


def _values_in(value: Any) -> Iterator[Any] | None:
    """The values in a container; keys and members of sets are checked where they are put in."""
    if type(value) in (dict, OrderedDict):
        return iter(value.values())
    if type(value) in (list, tuple):
        return iter(value)
    return iter(()) if type(value) in (set, frozenset) else None
