"""Fixtures of the detectron2 backend; its tests are skipped where detectron2 is not installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from hiera_det.config import load_config

SMALL = {
    "MODEL.DEVICE": "cpu",
    "MODEL.HIERA.EMBED_DIM": "8",
    "MODEL.HIERA.NUM_HEADS": "1",
    "MODEL.HIERA.STAGES": "[1,1,1,1]",
    "MODEL.HIERA.GLOBAL_BLOCKS": "[2]",
    "MODEL.HIERA.WINDOW_SIZES": "[8,4,4,2]",
    "MODEL.FPN.OUT_CHANNELS": "8",
    "MODEL.ROI_BOX_HEAD.FC_DIM": "8",
    "MODEL.ROI_MASK_HEAD.CONV_DIM": "8",
}


@pytest.fixture(scope="session")
def configs(request: pytest.FixtureRequest) -> Path:
    return request.config.rootpath / "configs"


@pytest.fixture(scope="session")
def small() -> dict[str, str]:
    """The keys and values that make a model small."""
    return SMALL


@pytest.fixture(scope="session")
def config(configs):
    """``config("quickstart", "KEY", "VALUE", ...)``: a shipped config with a small model, on detectron2's defaults."""
    from hiera_det.detectron2.trainer import defaults

    def loaded(name: str, *overrides: str):
        words = [word for pair in SMALL.items() for word in pair] + list(overrides)
        return load_config(configs / f"{name}.yaml", words, defaults())

    return loaded


@pytest.fixture(autouse=True)
def _shapes_by_name(shapes_by_name):
    """Runs find the generated datasets."""
