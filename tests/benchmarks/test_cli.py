"""The command line: tools/benchmark.py and ``python -m benchmarks``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import cli

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_tool(tmp_path):
    """Candidates' processes find the package too."""
    out, plot, profile = tmp_path / "out.json", tmp_path / "out.png", tmp_path / "profile"
    options = "--variant hiera_tiny_224 --sizes 64 --ours released --threads 1 --rounds 2 --vs"
    files = ["--json", out, "--plot", plot, "--profile", profile]
    command = [sys.executable, ROOT / "tools" / "benchmark.py", "backbone", *options.split(), "", *files]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "variant hiera_tiny_224, size 64, batch 1, dtype fp32, pass forward, compile off, threads 1" in done.stdout
    (record,) = json.loads(out.read_text())["results"]
    assert record["candidate"] == "released" and len(record["seconds"]) == 2 and record["mfu"] > 0
    (trace,) = profile.iterdir()
    assert f"trace: {trace}" in done.stdout and trace.name.startswith("released_variant_hiera_tiny_224_size_64")
    assert plot.is_file()


def test_module():
    command = [sys.executable, "-m", "benchmarks", "backbone", "--rounds", "0"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2 and done.stderr == "error: --rounds 0: expected at least 1\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("backbone --vs swin", "error: --vs swin: expected some of original, timm"),
        ("train --config x.yaml --image-root x", "--dataset-json and --image-root go together"),
        ("backbone --batch 0", "'0': expected whole numbers from 1"),
        ("detector --config x.yaml", "no config file at x.yaml"),
        ("pretrain --vs timm", "error: --vs timm: expected some of original"),
        ("pretrain --mask-ratio 0.6,1", "'0.6,1': expected numbers between 0 and 1"),
        ("ava-eval --vs mmaction2", "--vs mmaction2: expected some of slowfast"),
    ],
)
def test_bad_input_is_one_line(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmark.py", *arguments.split()])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
