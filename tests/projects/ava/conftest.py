"""A run in miniature: tiny model, tiny mini-set, through the project's commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from hiera_det.projects.ava.cli.train import main
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


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Run:
    def __init__(self, config: Path, root: Path, folder: Path) -> None:
        self.config, self.root, self.folder = config, root, folder

    def arguments(self, *words: str) -> list[str]:
        paths = ["DATASETS.ROOT", str(self.root), "OUTPUT_DIR", str(self.folder)]
        return ["--config", str(self.config), *words, *paths]

    def __call__(self, *words: str) -> None:
        main(self.arguments(*words))

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
def new_run(root, tmp_path_factory):
    config = tmp_path_factory.mktemp("config") / "tiny.yaml"
    config.write_text(yaml.safe_dump(TINY))
    return lambda data=root: Run(config, data, tmp_path_factory.mktemp("run") / "output")


@pytest.fixture(scope="session")
def trained(new_run) -> Run:
    """Four iterations, evaluated; nobody writes to it."""
    run = new_run()
    run()
    return run
