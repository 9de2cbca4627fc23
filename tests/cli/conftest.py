"""Runs in miniature."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _shapes_by_name(shapes_by_name):
    """Runs find the generated datasets."""
