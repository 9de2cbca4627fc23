"""Fixtures that several folders of tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

torch.set_num_threads(2)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real images, clips and COCO annotations; tests that need it are skipped where it is not."""
    root = Path(os.environ.get("HIERA_DET_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not root.is_dir():
        pytest.skip(f"no real data at {root}; HIERA_DET_TEST_DATA may name the folder")
    return root


@pytest.fixture(autouse=True)
def cache_of_downloads(tmp_path, monkeypatch):
    """No test reads or fills the cache of the machine."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch_home"))


def _redraw(model: nn.Module) -> None:
    generator = torch.Generator().manual_seed(1)
    for name, parameter in list(model.named_parameters()):
        draw = torch.randn(parameter.shape, generator=generator)
        if "pos_embed" in name or parameter.ndim == 1:
            draw = draw * 0.3 + (1.0 if "norm" in name and name.endswith("weight") else 0.0)
        else:
            draw = draw * 1.5 / parameter[0].numel() ** 0.5
        module, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(module), leaf, nn.Parameter(draw))  # also where it was on "meta"


def _relative_error(got: Tensor, expected: Tensor) -> float:
    assert got.shape == expected.shape, f"{tuple(got.shape)} is not {tuple(expected.shape)}"
    return ((got - expected).abs().max() / expected.abs().max()).item()


@pytest.fixture(scope="session")
def redraw():
    """As initialised the softmax is near uniform and the head near zero; any model would pass. Redraw the weights."""
    return _redraw


@pytest.fixture
def relative_error():
    return _relative_error
