"""Contenders that are nothing but numbers."""

from __future__ import annotations

import pytest

from benchmarks.cases import Result
from benchmarks.contender import OURS, Contender, Job


def _result(name, seconds, *, package=OURS, function="f", **fields):
    return Result(Contender(name, package, function, Job), seconds, **fields)


@pytest.fixture
def result():
    """Makes a result of a name, the seconds of its turns, and other fields."""
    return _result
