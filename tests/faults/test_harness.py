"""The harness sees what it is to see."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_CHILD = """
import os, socket, subprocess, sys
from pathlib import Path
from tests.faults.warm import run

def refuse():
    subprocess.run(["true"])

def call():
    socket.create_connection(("127.0.0.1", 9), timeout=1)

def write():
    open(sys.argv[1] + "/elsewhere", "w").close()

def crash():
    os.abort()

def hang():
    os.mkfifo("pipe")
    open("pipe").read()

def eat():
    bytearray(300 << 20)

def nothing():
    pass

for work in refuse, call, write, crash, hang, eat, nothing:
    outcome = run(work, Path(sys.argv[1]) / "folder" / work.__name__, 3 if work is hang else 30)
    print(work.__name__, outcome.code, outcome.late, round(outcome.peak), *[act.split()[0] for act in outcome.acts])
"""


def test_what_a_child_does_is_seen(tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _CHILD, str(tmp_path)]
    run = subprocess.run(
        command, cwd=Path(__file__).parents[2], env=environment, capture_output=True, text=True, check=True
    )
    seen = {name: rest for name, *rest in (line.split() for line in run.stdout.splitlines())}
    assert "subprocess.Popen" in seen["refuse"]
    assert "socket.connect" in seen["call"]
    assert seen["write"][3:] == ["writes"]
    assert seen["crash"][0] == "-6"
    assert seen["hang"][1] == "True"
    assert int(seen["eat"][2]) > int(seen["nothing"][2]) + 250
    assert seen["nothing"] == ["0", "False", seen["nothing"][2]]
