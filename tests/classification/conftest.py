"""Classifiers of the original small enough to run often, known as variants, with files of their weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import hiera
import numpy as np
import pytest
import torch
from torch import nn

from hiera_det.hiera.variants import _VIDEO, VARIANTS

TRUNK = {"embed_dim": 16, "num_heads": 1, "stages": (1, 1, 1, 1)}
VIDEO = {**_VIDEO, "input_size": (8, 64, 64)}


@pytest.fixture(autouse=True)
def small_variants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VARIANTS, "hiera_mini_64", {**TRUNK, "input_size": (64, 64)})
    monkeypatch.setitem(VARIANTS, "hiera_mini_8x64", {**TRUNK, **VIDEO})


@pytest.fixture
def original(redraw) -> Callable[..., nn.Module]:
    """``original(num_classes=10)``, ``original(clips=True)``: the original's class at a trained scale."""

    def built(*, clips: bool = False, **arguments) -> nn.Module:
        model = hiera.Hiera(**{**TRUNK, **(VIDEO if clips else {"input_size": (64, 64)}), **arguments}).eval()
        redraw(model)
        return model

    return built


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[nn.Module], str]:
    """Saves a model as the original's files are; the path."""

    def save(model: nn.Module) -> str:
        torch.save({"model_state": model.state_dict()}, tmp_path / "weights.pth")
        return str(tmp_path / "weights.pth")

    return save


@pytest.fixture
def photo() -> np.ndarray:
    """(60, 87, 3): after resizing, an odd number of pixels is left beside the centre crop of 224."""
    coarse = np.random.default_rng(0).integers(0, 256, (15, 29, 3), np.uint8)
    return coarse.repeat(4, axis=0).repeat(3, axis=1)
