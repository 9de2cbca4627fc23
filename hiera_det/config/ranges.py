"""Which numbers and texts the keys of a config may have: declared beside the defaults, checked when it is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fvcore.common.config import CfgNode

from hiera_det.config.values import value_of
from hiera_det.utils.nested import MOST, shown

__all__ = ["Range", "check_ranges", "declare_ranges", "number", "ranges_of", "texts", "whole"]

_ATTRIBUTE = "__ranges__"  # of a config's outermost node, where fvcore keeps the names of removed keys likewise
Length = tuple[int, int]


@dataclass(frozen=True)
class Range:
    """What a key may have: a number or a text, a list of them, or a list of lists; its text is for messages.

    Attributes:
        lengths: of a list, the fewest and the most values; of lists of lists, those of the outer one first.
        low: the lowest number; None: text is expected.
        high: the highest number.
        above: ``low`` itself is not one of them.
        below: ``high`` itself is not one of them.
        integers: numbers with fractions are none of them.
        ascending: in a list, no number is below the one before it.
        flat: one list may stand for a list of lists.
        optional: None may stand in its place.
        as_many_as: the key of a list that has as many values.
        more: how many more values there are than that list has.
    """

    lengths: tuple[Length, ...] = ()
    low: float | None = None
    high: float = 0
    above: bool = False
    below: bool = False
    integers: bool = False
    ascending: bool = False
    flat: bool = False
    optional: bool = False
    as_many_as: str = ""
    more: int = 0

    def __contains__(self, value: Any) -> bool:
        if value is None:
            return self.optional
        return self._fits(value, self.lengths) or (self.flat and self._fits(value, self.lengths[1:]))

    def _fits(self, value: Any, lengths: tuple[Length, ...]) -> bool:
        if not lengths:
            return isinstance(value, str) if self.low is None else self._is_within(value, self.low)
        fewest, most = lengths[0]
        if not isinstance(value, list | tuple) or not fewest <= len(value) <= most:
            return False
        if not all(self._fits(one, lengths[1:]) for one in value):
            return False
        return not self.ascending or list(value) == sorted(value)

    def _is_within(self, value: Any, low: float) -> bool:
        if type(value) is not int and (type(value) is not float or self.integers):  # True is no number
            return False
        return (
            low <= value <= self.high and not (self.above and value == low) and not (self.below and value == self.high)
        )

    def __str__(self) -> str:
        text = f"{self._kind()}{'s' if self.lengths else ''}{self._ends()}"
        for level, (fewest, most) in enumerate(reversed(self.lengths), 1):
            count = most if fewest == most else f"{fewest} to {most}"
            text = f"{'a list' if level == len(self.lengths) else 'lists'} of {count} {text}"
        order = " in ascending order" if self.ascending else ""
        return f"{'' if self.lengths else 'a '}{text}{order}{', or None' if self.optional else ''}"

    def _kind(self) -> str:
        return "text" if self.low is None else "whole number" if self.integers else "number"

    def _ends(self) -> str:
        if self.low is None:
            return ""
        low, high = (str(end) if self.integers else f"{end:g}" for end in (self.low, self.high))
        if self.above or self.below:
            return f" {'above' if self.above else 'from'} {low} and {'below' if self.below else 'up to'} {high}"
        return f" from {low} to {high}"


def whole(low: int, high: int, *lengths: Length, **more: Any) -> Range:
    """The integers from ``low`` to ``high``, or lists of them; ``more`` as of :class:`Range`."""
    return Range(lengths, low, high, integers=True, **more)


def number(low: float, high: float, *lengths: Length, **more: Any) -> Range:
    """The numbers from ``low`` to ``high``, or lists of them; ``more`` as of :class:`Range`."""
    return Range(lengths, low, high, **more)


def texts(*inner: Length) -> Range:
    """Lists of any number of texts, or of lists of them."""
    return Range(((0, MOST), *inner))


def declare_ranges(cfg: CfgNode, ranges: Mapping[str, Range]) -> None:
    """Note in a config of defaults what its keys may have, in place of what is noted there; copies keep it.

    Args:
        cfg: the defaults.
        ranges: by key; keys that the config lacks are left out.
    """
    cfg.__dict__[_ATTRIBUTE] = {key: one for key, one in ranges.items() if _has(cfg, key)}


def ranges_of(cfg: CfgNode) -> Mapping[str, Range]:
    """What :func:`declare_ranges` noted, by key."""
    return cfg.__dict__.get(_ATTRIBUTE, {})


def check_ranges(cfg: CfgNode, source_of: Callable[[str], str]) -> None:
    """Check a config's values against what is noted in it.

    Args:
        cfg: the config.
        source_of: from a key, where its value is from, for messages.

    Raises:
        ValueError: a value is not as it may be; the message has its source, the key, the value and what is expected.
    """
    ranges = ranges_of(cfg)
    for key, expected in ranges.items():
        value = value_of(cfg, key)
        if value not in expected:
            raise ValueError(f"{source_of(key)}: {key} is {shown(value)}; expected {expected}")
    for key, expected in ranges.items():
        if expected.as_many_as:
            value, count = value_of(cfg, key), len(value_of(cfg, expected.as_many_as)) + expected.more
            if len(value) != count:
                raise ValueError(
                    f"{source_of(key)}: {key} is {shown(value)}; expected {count} values, as"
                    f" {expected.as_many_as} has {count - expected.more}"
                )


def _has(cfg: CfgNode, key: str) -> bool:
    try:
        value_of(cfg, key)
    except KeyError:
        return False
    return True
