"""Fixtures that several folders of tests share: real data, weights at a trained scale, runs in miniature."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor, nn

from hiera_det.data.catalog import DatasetFiles
from hiera_det.detection.data.shapes import write_shapes

torch.set_num_threads(2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


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


@pytest.fixture
def content() -> dict[str, Any]:
    """A COCO JSON of two pictures, 40 x 60 and 50 x 30 (height x width), and categories out of order."""
    square = [[10.0, 10.0, 30.0, 10.0, 30.0, 30.0, 10.0, 30.0]]
    return {
        "images": [
            {"id": 7, "file_name": "b.png", "height": 50, "width": 30},
            {"id": 3, "file_name": "a.png", "height": 40, "width": 60},
        ],
        "annotations": [
            {"id": 1, "image_id": 3, "category_id": 90, "bbox": [10, 10, 20, 20], "segmentation": square},
            {"id": 2, "image_id": 3, "category_id": 5, "bbox": [40, 30, 8, 6], "iscrowd": 0}
            | {"segmentation": [[40.0, 30.0, 48.0, 30.0, 44.0, 36.0]]},
            {"id": 3, "image_id": 7, "category_id": 5, "bbox": [0, 0, 30, 50], "iscrowd": 1}
            | {"segmentation": {"size": [50, 30], "counts": [0, 1500]}},
        ],
        "categories": [{"id": 90, "name": "kite"}, {"id": 5, "name": "boat"}],
    }


@pytest.fixture
def write(tmp_path: Path):
    """Writes a COCO JSON and a random picture for each of its images."""

    def _write(content: Any) -> DatasetFiles:
        root = tmp_path / "images"
        root.mkdir(exist_ok=True)
        json_file = tmp_path / "instances.json"
        json_file.write_text(json.dumps(content))
        for image in content.get("images", []) if isinstance(content, dict) else []:
            rng = np.random.default_rng(image["id"])
            pixels = rng.integers(0, 256, (image["height"], image["width"], 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / image["file_name"])
        return DatasetFiles("tiny", json_file, root)

    return _write


# --- runs in miniature: tiny detector, tiny pictures, through the tools' entry points

ROOT = Path(__file__).parents[1]
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

TINY_ACTIONS: dict[str, Any] = {
    "_BASE_": str(ROOT / "projects" / "ava" / "configs" / "quickstart.yaml"),
    "SEED": 7,
    "MODEL": {"HIERA": {"EMBED_DIM": 8, "STAGES": [1, 1, 1, 1]}},
    "INPUT": {"NUM_FRAMES": 4, "RATE": 4, "MIN_SIZE_TRAIN": [64, 64], "CROP_SIZE": 64, "MIN_SIZE_TEST": 64},
    "SOLVER": {"IMS_PER_BATCH": 2, "MAX_ITER": 4, "WARMUP_ITERS": 1, "CHECKPOINT_PERIOD": 2},
    "TEST": {"EVAL_PERIOD": 0},
}

TINY_PRETRAINING: dict[str, Any] = {
    "_BASE_": str(ROOT / "configs" / "mae_small.yaml"),
    "SEED": 7,
    "VIS_PERIOD": 2,
    "MODEL": {
        "DEVICE": "cpu",
        "HIERA": {"EMBED_DIM": 8, "STAGES": [1, 1, 1, 1], "DROP_PATH_RATE": 0.2},
        "MAE": {"DECODER_EMBED_DIM": 16, "DECODER_DEPTH": 1, "DECODER_NUM_HEADS": 2},
    },
    "INPUT": {"SIZE": [64, 64], "REPEATS": 2},
    "DATALOADER": {"NUM_WORKERS": 0},
    "SOLVER": {"IMS_PER_BATCH": 2, "MAX_ITER": 4, "WARMUP_ITERS": 1, "CHECKPOINT_PERIOD": 2},
}


@pytest.fixture(scope="session")
def datasets_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What DETECTRON2_DATASETS names: a shapes dataset of 64 x 64 pictures."""
    root = tmp_path_factory.mktemp("datasets")
    write_shapes(root / "shapes", num_train=10, num_val=5, image_size=64)
    return root


@pytest.fixture
def shapes_by_name(datasets_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The generated datasets are found by their names."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(datasets_root))


@pytest.fixture(scope="session")
def config_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY))
    return path


class Run:
    """One output folder and the runs of a script into it: its flags first, config keys last."""

    def __init__(self, main: Any, script: Path, config: Path, folder: Path, flags: list[str], keys: list[str]) -> None:
        self.main, self.script, self.config, self.folder = main, script, config, folder
        self.flags, self.keys = flags, keys

    def arguments(self, *arguments: str) -> list[str]:
        output = ["OUTPUT_DIR", str(self.folder)]
        return [*self.flags, "--config", str(self.config), *arguments, *self.keys, *output]

    def __call__(self, *arguments: str) -> None:
        """Run the script in this process, with one thread: it rounds as runs in processes of their own."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            self.main(self.arguments(*arguments))
        finally:
            torch.set_num_threads(threads)

    def command(self, *arguments: str) -> list[str]:
        """The same as a command for a process of its own."""
        return [sys.executable, str(self.script), *self.arguments(*arguments)]

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


@pytest.fixture
def environment(shapes_by_name: None) -> dict[str, str]:
    """For processes of their own."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def small_shm():
    """``small_shm("1m")``: what a command begins with that has so much shared memory, as in a container."""

    def command(size: str) -> list[str]:
        return ["unshare", "-rm", "sh", "-c", f'mount -t tmpfs -o size={size} tmpfs /dev/shm && exec "$@"', "sh"]

    try:
        subprocess.run([*command("1m"), "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no mount namespaces here")
    return command


@pytest.fixture(scope="session")
def new_run(config_file: Path, tmp_path_factory: pytest.TempPathFactory):
    """``new_run(backend)``: an output folder of its own."""
    from hiera_det.cli.train import main

    script = ROOT / "tools" / "train_net.py"
    return lambda backend="torchvision": Run(
        main, script, config_file, tmp_path_factory.mktemp("run") / "output", ["--backend", backend], []
    )


@pytest.fixture(scope="session")
def mini_ava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated AVA set: 6 and 5 clips of 64 x 64 pixels."""
    from hiera_det.projects.ava.miniset import write_miniset

    folder = tmp_path_factory.mktemp("ava") / "mini"
    write_miniset(folder, num_train=6, num_val=5, image_size=64)
    return folder


@pytest.fixture(scope="session")
def new_action_run(mini_ava: Path, tmp_path_factory: pytest.TempPathFactory):
    """``new_action_run(data)``: an output folder of its own, for a tiny action detector."""
    from hiera_det.cli.train import main

    script = ROOT / "projects" / "ava" / "train_net.py"
    config = tmp_path_factory.mktemp("config") / "tiny.yaml"
    config.write_text(yaml.safe_dump(TINY_ACTIONS))
    return lambda data=mini_ava: Run(
        main, script, config, tmp_path_factory.mktemp("run") / "output", [], ["DATASETS.ROOT", str(data)]
    )


@pytest.fixture(scope="session")
def new_pretraining_run(datasets_root: Path, tmp_path_factory: pytest.TempPathFactory):
    """``new_pretraining_run()``: an output folder of its own, for a tiny masked autoencoder of the shapes' images."""
    from hiera_det.cli.train import main

    script = ROOT / "tools" / "train_net.py"
    config = tmp_path_factory.mktemp("config") / "tiny.yaml"
    config.write_text(yaml.safe_dump(TINY_PRETRAINING))
    train, test = (f"({str(datasets_root / 'shapes' / split)!r},)" for split in ("train", "val"))
    keys = ["DATASETS.TRAIN", train, "DATASETS.TEST", test]
    return lambda: Run(main, script, config, tmp_path_factory.mktemp("run") / "output", [], keys)


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
