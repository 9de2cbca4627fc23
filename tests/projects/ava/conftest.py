"""A run in miniature: tiny model, tiny mini-set, through the project's tools."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
import torch
import yaml
from hiera_det.projects.ava.miniset import write_miniset

PROJECT = Path(__file__).parents[3] / "projects" / "ava"
TINY = {
    "_BASE_": str(PROJECT / "configs" / "quickstart.yaml"),
    "SEED": 7,
    "MODEL": {"HIERA": {"EMBED_DIM": 8, "STAGES": [1, 1, 1, 1]}},
    "INPUT": {"NUM_FRAMES": 4, "RATE": 4, "MIN_SIZE_TRAIN": [64, 64], "CROP_SIZE": 64, "MIN_SIZE_TEST": 64},
    "SOLVER": {"IMS_PER_BATCH": 2, "MAX_ITER": 4, "WARMUP_ITERS": 1, "CHECKPOINT_PERIOD": 2},
    "TEST": {"EVAL_PERIOD": 0},
}


@pytest.fixture(scope="session")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ava") / "mini"
    write_miniset(folder, num_train=6, num_val=5, image_size=64)
    return folder


@pytest.fixture(scope="session")
def load_tool():
    """``load_tool("predict")``: a script of the project as a module."""

    def loaded(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"ava_{name}", PROJECT / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return loaded


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Run:
    def __init__(self, tool, config: Path, root: Path, folder: Path) -> None:
        self.tool, self.config, self.root, self.folder = tool, config, root, folder

    def arguments(self, *words: str) -> list[str]:
        paths = ["DATASETS.ROOT", str(self.root), "OUTPUT_DIR", str(self.folder)]
        return ["--config", str(self.config), *words, *paths]

    def __call__(self, *words: str) -> None:
        self.tool.main(self.arguments(*words))

    @property
    def losses(self) -> list[float]:
        records = [json.loads(line) for line in (self.folder / "metrics.json").read_text().splitlines()]
        return [record["total_loss"] for record in records if "total_loss" in record]

    @property
    def metrics(self) -> dict:
        return json.loads((self.folder / "inference" / "metrics.json").read_text())

    @property
    def results(self) -> str:
        return (self.folder / "inference" / "results.csv").read_text()


@pytest.fixture(scope="session")
def new_run(load_tool, root, tmp_path_factory):
    tool = load_tool("train_net")
    config = tmp_path_factory.mktemp("config") / "tiny.yaml"
    config.write_text(yaml.safe_dump(TINY))
    return lambda data=root: Run(tool, config, data, tmp_path_factory.mktemp("run") / "output")


@pytest.fixture(scope="session")
def trained(new_run) -> Run:
    """Four iterations, evaluated; nobody writes to it."""
    run = new_run()
    run()
    return run
