"""Values that hold themselves, one list very often, or what is no plain value."""

from __future__ import annotations

import pytest

from hiera_det.utils.nested import DEEPEST, MOST, check_plain, shown, walk


def bomb(levels=9):
    """A list that holds 10**9 others in few lists of its own."""
    value = [1] * 10
    for _ in range(levels - 1):
        value = [value] * 10
    return value


def ring():
    value = {"a": []}
    value["a"].append(value)
    return value


def deep(levels):
    value = 1
    for _ in range(levels):
        value = [value]
    return value


def test_every_value_comes_once_the_outer_first():
    assert list(walk({"a": [1, (2,)], "b": 3})) == [{"a": [1, (2,)], "b": 3}, [1, (2,)], 1, (2,), 2, 3]
    check_plain({"a": [1, 2.5, "text", None, True, float("nan")], "b": {"c": ()}})
    check_plain(deep(DEEPEST - 1))
    check_plain([0] * (MOST - 1))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (bomb(), "holds more than 100000 values"),
        ([0] * MOST, "holds more than 100000 values"),
        (ring(), "nested in more than 16 levels, or holds itself"),
        (deep(DEEPEST), "nested in more than 16 levels"),
        (deep(100_000), "nested in more than 16 levels"),
        ([{1: 2}], "it has the key 1, expected text"),
        ([{1}], "it has a set, expected text, numbers"),
        (b"bytes", "it has a bytes"),
        (10**5000, "an integer of 16610 bits"),
        ("x" * 500_001, "a text of 500001 characters"),
        (["x" * 400_000] * 6, "its texts have more than 2000000 characters"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "value",
)
def test_what_is_refused(value, message):
    with pytest.raises(ValueError, match=message):
        check_plain(value)


def test_a_value_is_shown_in_a_line():
    for value in ("x" * 10**6, "a\nb", bomb(), ring(), 10**4000, list(range(10**6))):
        assert len(shown(value)) < 300 and "\n" not in shown(value)
