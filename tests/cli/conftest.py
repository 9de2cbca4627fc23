"""Runs in miniature."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _run_in_miniature(shapes_by_name, one_thread):
    """Runs find the generated datasets, and compute as they do in processes of their own."""
