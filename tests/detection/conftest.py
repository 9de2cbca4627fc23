"""Fixtures of the torchvision backend: the tiny detector of tiny.py, and what detectron2 computed (recorded/)."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

HERE = Path(__file__).parent


def _load(name: str) -> ModuleType:
    """The module beside this file, under the name by which record_detectron2.py, a script, imports it."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    return _load("tiny")


@pytest.fixture(params=list(_load("tiny").MODELS))
def name(request) -> str:
    """Each of tiny.MODELS."""
    return request.param


@pytest.fixture(scope="session")
def load_module(tiny):
    """``load_module("record_detectron2")``: another module beside this file; it may import tiny."""
    return _load


@pytest.fixture(scope="session")
def recorded() -> Mapping[str, Tensor]:
    """Values recorded from detectron2, by name."""
    values = {}
    for path in sorted((HERE / "recorded").glob("*.npz")):
        with np.load(path) as arrays:
            values.update({name: torch.from_numpy(arrays[name]) for name in arrays.files})
    return values


@pytest.fixture(scope="session")
def recorded_names() -> dict[str, dict[str, list[int]]]:
    """detectron2's parameter names and shapes of each of tiny.MODELS."""
    return json.loads((HERE / "recorded" / "names.json").read_text())


@pytest.fixture(scope="session")
def unpack():
    """Masks from their recorded bits."""

    def unpacked(bits: Tensor, shape: tuple[int, ...]) -> Tensor:
        size = int(np.prod(shape))
        return torch.from_numpy(np.unpackbits(bits.numpy())[:size].reshape(shape)).bool()

    return unpacked


@pytest.fixture(scope="session")
def build(tiny, recorded_names):
    """``build("plain_faster")``: the tiny detector of that name with the weights that detectron2 was recorded with."""
    from hiera_det.detection.model.detector import build_model
    from hiera_det.detection.model.detectron2_names import from_detectron2

    def built(name: str):
        model = build_model(tiny.config(tiny.MODELS[name][0]), tiny.TinyBackbone())
        model.load_state_dict(from_detectron2(tiny.weights(recorded_names[name])), strict=True)
        return model

    return built


@pytest.fixture(autouse=True)
def _shapes_by_name(shapes_by_name):
    """Runs find the generated datasets."""
