"""tools/benchmark.py from the command line."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "benchmark.py"


def test_backbone(tmp_path):
    out, plot, profile = tmp_path / "out.json", tmp_path / "out.png", tmp_path / "profile"
    options = "--variant hiera_tiny_224 --sizes 64 --ours released --threads 1 --rounds 2 --vs"
    files = ["--json", out, "--plot", plot, "--profile", profile]
    command = [sys.executable, TOOL, "backbone", *options.split(), "", *files]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "variant hiera_tiny_224, size 64, batch 1, dtype fp32, pass forward, compile off, threads 1" in done.stdout
    assert "released: operator" in done.stdout
    (record,) = json.loads(out.read_text())["results"]
    assert record["contender"] == "released" and len(record["seconds"]) == 2 and record["mfu"] > 0
    assert plot.is_file() and len(list(profile.iterdir())) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("backbone --vs swin", "error: --vs swin: no such contender here; there are original, timm"),
        ("train --config x.yaml --image-root x", "--dataset-json and --image-root go together"),
        ("backbone --batch 0", "'0': expected whole numbers from 1"),
        ("detector --config x.yaml", "no config file at x.yaml"),
        ("ava-eval --vs mmaction2", "--vs mmaction2: no such contender here; there are slowfast"),
    ],
)
def test_bad_input_is_one_line(arguments, message, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("benchmark_tool", TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.setattr(sys, "argv", ["benchmark.py", *arguments.split()])
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(SystemExit) as stopped:
        tool.main()
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
