"""The workflows of GitHub, which cannot run here: they are YAML, and name what is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
STEPS = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]


def test_targets_of_make_are_there():
    targets = set(re.findall(r"(?m)^([\w-]+):", (ROOT / "Makefile").read_text()))
    called = {step["run"].split()[1] for step in STEPS if step.get("run", "").startswith("make ")}
    assert called and called <= targets
    assert all("uses" in step or "run" in step for step in STEPS)


def test_the_matrix_is_what_is_supported():
    jobs = WORKFLOW["jobs"]["tests"]["strategy"]["matrix"]["include"]
    classifiers = {text.rpartition(" ")[2] for text in PROJECT["classifiers"] if "Python :: 3." in text}
    assert {job["python"] for job in jobs} == classifiers
    lowest = dict(re.split(">=", text) for text in PROJECT["dependencies"][:2])
    pinned = " ".join(f"{name}=={version}.*" for name, version in lowest.items())
    assert [job["torch"] for job in jobs if job["torch"]] == [pinned]
