"""The warm process that cases are forked from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def ask():
    """``ask(part=..., name=..., ...)``: what :mod:`tests.faults.serve` answers."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "tests.faults.serve"]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env=environment,
        text=True,
    ) as process:

        def asked(**question: object) -> dict:
            process.stdin.write(json.dumps(question) + "\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline() or '{"skip": "", "faults": ["the warm process ended"]}')
            if answer.get("skip"):
                pytest.skip(answer["skip"])
            return answer

        yield asked
        process.stdin.close()
