"""A few kills; hundreds: python -m tests.faults.soak --parts kills. Even seeds kill at file-system events."""

from __future__ import annotations

import pytest

_SEEDS = {
    "detection": (0, 2),
    "actions": (1, 2),
    "pretraining": (2, 3),
    "extraction": (0, 2),
    "extraction, 2 ranks": (0, 1),
    "prediction": (0, 2),
    "evaluation": (0, 1),
}


@pytest.mark.parametrize("job", _SEEDS)
def test_killed_runs_go_on(ask, job):
    faults = ask(part="kills", name=job, seeds=_SEEDS[job])["faults"]
    assert not faults, "\n".join(faults)
