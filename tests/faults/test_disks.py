"""A full disk for some writers; three sizes for each: python -m tests.faults.soak --parts disks."""

from __future__ import annotations

import pytest

_WRITERS = {
    "detection": [0.6],
    "extraction": [0.5],
    "prediction": [0.5],
    "prediction of a video": [0.0],
    "evaluation": [0.0],
    "conversion to .pkl": [0.5],
    "generation": [0.5],
    "save_pretrained": [0.5],
    "pages": [0.5],
}


@pytest.mark.parametrize("writer", _WRITERS)
def test_full_disk(ask, writer):
    faults = ask(part="disks", name=writer, shares=_WRITERS[writer])["faults"]
    assert not faults, "\n".join(faults)
