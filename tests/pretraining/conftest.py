"""A pretraining in miniature."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def pretrained(new_pretraining_run):
    """Four iterations, evaluated; nobody writes to it."""
    run = new_pretraining_run()
    run()
    return run
