"""Every task of the engine in miniature."""

from __future__ import annotations

import logging

import pytest


@pytest.fixture(autouse=True)
def _shapes_by_name(shapes_by_name):
    """Runs find the generated datasets."""


@pytest.fixture(autouse=True)
def _log_is_captured(monkeypatch):
    """Also after runs on detectron2, whose logger keeps it from pytest."""
    monkeypatch.setattr(logging.getLogger("hiera_det"), "propagate", True)


@pytest.fixture(scope="session", params=["detection", "actions", "pretraining"])
def new_task_run(request, new_run, new_action_run, new_pretraining_run):
    """``new_task_run()``: an output folder of its own, for each task in turn."""
    return {"detection": new_run, "actions": new_action_run, "pretraining": new_pretraining_run}[request.param]


@pytest.fixture
def task_run(new_task_run):
    return new_task_run()


@pytest.fixture(scope="session")
def task_trained(new_task_run, datasets_root):
    """A few iterations without interruption, evaluated; nobody writes to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DETECTRON2_DATASETS", str(datasets_root))
        straight = new_task_run()
        straight("SOLVER.MAX_ITER", "4", "SOLVER.CHECKPOINT_PERIOD", "2")
    return straight
