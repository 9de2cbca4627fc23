"""A run in miniature: tiny model, tiny mini-set, through the project's tools."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

PROJECT = Path(__file__).parents[3] / "projects" / "ava"


@pytest.fixture(scope="session")
def root(mini_ava) -> Path:
    return mini_ava


@pytest.fixture(scope="session")
def new_run(new_action_run):
    return new_action_run


@pytest.fixture(scope="session")
def load_tool():
    """``load_tool("predict")``: a script of the project as a module."""

    def loaded(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"ava_{name}", PROJECT / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return loaded


@pytest.fixture(scope="session")
def trained(new_action_run):
    """Four iterations, evaluated; nobody writes to it."""
    run = new_action_run()
    run()
    return run
