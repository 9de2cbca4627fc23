"""Hostile files of weights end soon, in little memory and one line; none ends the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.weights.hostile_files import LONG

SECONDS, MEMORY = 10.0, 1024  # of CPU time; MiB more than before


@pytest.mark.parametrize("long", ["", *(pytest.param(name, marks=pytest.mark.slow) for name in LONG)])
def test_each_ends_in_time_memory_and_one_line(long):
    command = [sys.executable, "-m", "tests.weights.hostile_files", *([long] if long else [])]
    ran = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    lines = [line.split("\t") for line in ran.stdout.splitlines()]
    assert len(lines) == 1 if long else len(lines) > 30
    first = int(lines[0][2])
    for name, seconds, _, peak, found in lines:
        assert float(seconds) < SECONDS and int(peak) < first + MEMORY, (name, seconds, peak)
        assert found.startswith("ValueError: ") and len(found) < 700, (name, found)
