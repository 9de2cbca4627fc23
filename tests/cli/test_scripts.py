"""The scripts in tools/ and projects/ava/: each runs its command from any folder, and its errors are one line."""

from __future__ import annotations

import runpy
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMANDS = {
    "tools/analyze_model.py": "hiera_det.cli.analyze",
    "tools/convert_checkpoint.py": "hiera_det.cli.convert",
    "tools/extract_features.py": "hiera_det.cli.extract",
    "tools/make_shapes.py": "hiera_det.cli.make_shapes",
    "tools/predict.py": "hiera_det.cli.predict",
    "tools/probe.py": "hiera_det.cli.probe",
    "tools/search_features.py": "hiera_det.cli.search",
    "tools/train_net.py": "hiera_det.cli.train",
    "projects/ava/check_data.py": "hiera_det.projects.ava.cli.check_data",
    "projects/ava/evaluate.py": "hiera_det.projects.ava.cli.evaluate",
    "projects/ava/make_miniset.py": "hiera_det.projects.ava.cli.make_miniset",
    "projects/ava/predict.py": "hiera_det.cli.predict",
    "projects/ava/train_net.py": "hiera_det.cli.train",
}


@pytest.fixture
def ended(monkeypatch, tmp_path):
    """Runs a script in this process, in an empty folder; what it exits with."""

    def run(script: str, *arguments: str) -> int:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [script, *arguments])
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(ROOT / script), run_name="__main__")
        return stop.value.code

    return run


def test_each_script_is_tested_here():
    scripts = {
        str(path.relative_to(ROOT)) for folder in ("tools", "projects/ava") for path in (ROOT / folder).glob("*.py")
    }
    assert scripts == {*COMMANDS, "tools/benchmark.py"}


@pytest.mark.parametrize("script", COMMANDS)
def test_help(ended, script, capsys):
    assert ended(script, "--help") == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"usage: {Path(script).name} ")
    assert import_module(COMMANDS[script]).__doc__.splitlines()[0] in printed
    assert "    hiera-det " in printed or "\nhiera-det " in printed


@pytest.mark.parametrize("script", COMMANDS)
def test_errors_are_one_line(ended, script, monkeypatch, capsys):
    def main(**_: str) -> None:
        raise ValueError("what is wrong")

    monkeypatch.setattr(f"{COMMANDS[script]}.main", main)
    assert ended(script) == 2
    assert capsys.readouterr().err == "error: what is wrong\n"


def test_a_small_job_in_a_process_of_its_own(tmp_path):
    config = ["--config", str(ROOT / "configs" / "quickstart.yaml"), "--size", "128", "MODEL.MASK_ON", "False"]
    command = [sys.executable, str(ROOT / "tools" / "analyze_model.py"), *config]
    table = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True).stdout
    assert [line.split()[0] for line in table.splitlines()] == ["part", "backbone", "pyramid", "RPN", "box", "all"]


def test_help_of_training_loads_no_backend():
    """Which takes seconds."""
    code = "import sys; from hiera_det.cli.train import parse; parse(['--help'])"
    command = [sys.executable, "-X", "importtime", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "hiera_det.cli.run_options" in loaded
    assert not loaded & {"lightning", "detectron2", "torchvision"}
