"""The fuzzer's bounded share: the same pickles each time."""

from __future__ import annotations

import pytest

from tests.faults.fuzz_pickles import NAMES, tried, try_out


@pytest.mark.parametrize("name", NAMES)
def test_a_value_or_a_value_error(name):
    try_out(name, 150)
    assert tried[name] >= 100
    assert tried[f"{name}: values"]
