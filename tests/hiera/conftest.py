"""What several tests of the model need."""

from __future__ import annotations

import pytest
from torch.utils.module_tracker import ModuleTracker


@pytest.fixture
def counters_without_hooks(monkeypatch):
    """A counter of FLOPs puts hooks on all modules, which turn short cuts off; without them they stay on."""
    monkeypatch.setattr(ModuleTracker, "__enter__", lambda self: self)
    monkeypatch.setattr(ModuleTracker, "__exit__", lambda *_: None)
