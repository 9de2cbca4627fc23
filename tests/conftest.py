"""Fixtures that several folders of tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(2)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real images, clips and COCO annotations; tests that need it are skipped where it is not."""
    root = Path(os.environ.get("HIERA_DET_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not root.is_dir():
        pytest.skip(f"no real data at {root}; HIERA_DET_TEST_DATA may name the folder")
    return root
