"""A run in miniature: tiny model, tiny mini-set, through the project's tools."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def root(mini_ava) -> Path:
    return mini_ava


@pytest.fixture(scope="session")
def new_run(new_action_run):
    return new_action_run


@pytest.fixture(scope="session")
def trained(new_action_run):
    """Four iterations, evaluated; nobody writes to it."""
    run = new_action_run()
    run()
    return run
