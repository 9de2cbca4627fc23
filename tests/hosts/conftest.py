"""A run in miniature: tiny detector, tiny pictures, through the tools' entry points."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import yaml

from hiera_det.data.shapes import write_shapes

ROOT = Path(__file__).parents[2]
TINY: dict[str, Any] = {
    "_BASE_": str(ROOT / "configs" / "quickstart.yaml"),
    "SEED": 7,
    "VIS_PERIOD": 0,
    "MODEL": {
        "DEVICE": "cpu",
        "HIERA": {
            "EMBED_DIM": 8,
            "NUM_HEADS": 1,
            "STAGES": [1, 1, 1, 1],
            "GLOBAL_BLOCKS": [2],
            "WINDOW_SIZES": [8, 4, 4, 2],
            "DROP_PATH_RATE": 0.2,
        },
        "FPN": {"OUT_CHANNELS": 8},
        "RPN": {"POST_NMS_TOPK_TRAIN": 40, "POST_NMS_TOPK_TEST": 20},
        "ROI_HEADS": {"BATCH_SIZE_PER_IMAGE": 16},
        "ROI_BOX_HEAD": {"FC_DIM": 16, "POOLER_SAMPLING_RATIO": 1},
        "ROI_MASK_HEAD": {"NUM_CONV": 1, "CONV_DIM": 8, "POOLER_SAMPLING_RATIO": 1},
    },
    "INPUT": {"MIN_SIZE_TRAIN": [64], "MAX_SIZE_TRAIN": 64, "MIN_SIZE_TEST": 64, "MAX_SIZE_TEST": 64},
    "DATALOADER": {"NUM_WORKERS": 0},
    "SOLVER": {"IMS_PER_BATCH": 2, "MAX_ITER": 6, "STEPS": [4], "WARMUP_ITERS": 2, "CHECKPOINT_PERIOD": 3},
}


@pytest.fixture(scope="session")
def datasets_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What DETECTRON2_DATASETS names: a shapes dataset of 64 x 64 pictures."""
    root = tmp_path_factory.mktemp("datasets")
    write_shapes(root / "shapes", num_train=10, num_val=5, image_size=64)
    return root


@pytest.fixture(autouse=True)
def _datasets(datasets_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETECTRON2_DATASETS", str(datasets_root))


@pytest.fixture(scope="session")
def config_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY))
    return path


def _tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tool_{name}", ROOT / "tools" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def predict_tool() -> ModuleType:
    return _tool("predict")


@pytest.fixture(scope="session")
def train_tool() -> ModuleType:
    return _tool("train_net")


class Run:
    """One output folder and the runs into it."""

    def __init__(self, tool: ModuleType, config: Path, folder: Path, host: str) -> None:
        self.tool, self.config, self.folder, self.host = tool, config, folder, host

    def arguments(self, *arguments: str) -> list[str]:
        return ["--host", self.host, "--config", str(self.config), *arguments, "OUTPUT_DIR", str(self.folder)]

    def __call__(self, *arguments: str) -> None:
        """Run tools/train_net.py in this process."""
        self.tool.main(self.arguments(*arguments))

    def command(self, *arguments: str) -> list[str]:
        """The same as a command for a process of its own."""
        return [sys.executable, str(ROOT / "tools" / "train_net.py"), *self.arguments(*arguments)]

    @property
    def records(self) -> list[dict]:
        path = self.folder / "metrics.json"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []

    @property
    def losses(self) -> list[dict[str, float]]:
        """Of each iteration in turn; fails if one is missing or there twice."""
        assert [record["iteration"] for record in self.records] == list(range(len(self.records)))
        return [{name: v for name, v in r.items() if "loss" in name} for r in self.records]

    @property
    def log(self) -> str:
        return (self.folder / "log.txt").read_text()

    def checkpoint(self, name: str = "model_final.pth") -> dict:
        return torch.load(self.folder / name, weights_only=True)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny tensors gain nothing from more; and in-process runs round as those in processes of their own."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def environment(_datasets: None) -> dict[str, str]:
    """For processes of their own."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def new_run(train_tool: ModuleType, config_file: Path, tmp_path_factory: pytest.TempPathFactory):
    """``new_run(host)``: an output folder of its own."""
    return lambda host="torchvision": Run(train_tool, config_file, tmp_path_factory.mktemp("run") / "output", host)


@pytest.fixture
def run(new_run) -> Run:
    return new_run()


@pytest.fixture(scope="session")
def trained(new_run, datasets_root: Path) -> Run:
    """Six iterations without interruption, evaluated; nobody writes to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DETECTRON2_DATASETS", str(datasets_root))
        straight = new_run()
        straight("VIS_PERIOD", "3")
    return straight
