"""A small model and a folder of small pictures, for runs of tools/extract_features.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from hiera_det import build_hiera
from hiera_det.cli import extract

SCRIPT = Path(__file__).parents[2] / "tools" / "extract_features.py"
CONFIG = {
    "VERSION": 2,
    "MODEL": {"DEVICE": "cpu", "HIERA": {"EMBED_DIM": 8, "STAGES": [1, 1, 1, 1]}},
    "FEATURES": {"MAPS": ["res4", "res5"], "VECTORS": ["mean", "logits"], "DTYPE": "fp32"},
    "STORE": {"ITEMS_PER_SHARD": 4},
    "DATALOADER": {"NUM_WORKERS": 0, "BATCH_SIZE": 2},
}


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """23 of three sizes, number 9 of them broken."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for i in range(23):
        size = [(32, 32), (40, 33), (64, 32)][i % 3]
        Image.fromarray(random.integers(0, 256, (*size, 3), np.uint8)).save(folder / f"{i:03d}.png")
    (folder / "009.png").write_bytes((folder / "009.png").read_bytes()[:100])
    return folder


@pytest.fixture(scope="session")
def config(tmp_path_factory) -> Path:
    """A config file that names its weights."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    model = build_hiera("hiera_base_224", embed_dim=8, stages=(1, 1, 1, 1), num_classes=3)
    for parameter in model.parameters():
        parameter.data.normal_(std=0.1)
    torch.save({"model_state": model.state_dict()}, folder / "small.pth")
    model_node = {**CONFIG["MODEL"], "WEIGHTS": str(folder / "small.pth")}
    (folder / "features.yaml").write_text(yaml.safe_dump({**CONFIG, "MODEL": model_node}))
    return folder / "features.yaml"


@pytest.fixture(scope="session")
def tool() -> ModuleType:
    """The command."""
    return extract


@pytest.fixture(scope="session")
def whole(tool, config, pictures, tmp_path_factory) -> Path:
    """The store of an uninterrupted run; nobody writes to it."""
    root = tmp_path_factory.mktemp("store") / "features"
    tool.main(["--config", str(config), "--input", str(pictures), "--output", str(root)])
    return root


@pytest.fixture(scope="session")
def start():
    """Start the script in a process of its own, or in several that a launcher starts."""

    def started(*words: str, launcher: tuple[str, ...] = ()) -> subprocess.Popen:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, *launcher, str(SCRIPT), *words]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    return started


@pytest.fixture(scope="session")
def contents():
    """All files of a store."""
    return lambda root: {path.name: path.read_bytes() for path in root.iterdir()}
