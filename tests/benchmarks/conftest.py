"""Results with made-up figures."""

from __future__ import annotations

import pytest

from benchmarks.candidate import OURS, Candidate, Job
from benchmarks.cases import Result


def _result(name, seconds, *, package=OURS, function="f", **fields):
    return Result(Candidate(name, package, function, Job), seconds, **fields)


@pytest.fixture
def result():
    """Makes a result of a name, the seconds of its rounds, and other fields."""
    return _result
