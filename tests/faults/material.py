"""Sound files that cases are made of: datasets, configs, weights, runs and a store, each made when it is asked for."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import TINY, TINY_ACTIONS, TINY_PRETRAINING
from tests.faults.warm import command, run

__all__ = ["Material", "write_video"]

_FEATURES = {
    "VERSION": 2,
    "MODEL": {"DEVICE": "cpu", "HIERA": {"EMBED_DIM": 8, "STAGES": [1, 1, 1, 1]}},
    "FEATURES": {"MAPS": ["res4", "res5"], "VECTORS": ["mean", "logits"], "DTYPE": "fp32"},
    "STORE": {"ITEMS_PER_SHARD": 4},
    "DATALOADER": {"NUM_WORKERS": 0, "BATCH_SIZE": 2},
}
_SHORT = {"MAX_ITER": 2, "STEPS": [], "WARMUP_ITERS": 1, "CHECKPOINT_PERIOD": 1}


class Material:
    """Sound files below a folder. All are made in forks, so that the process that forks stays as it is.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def made(self, name: str, work: Callable[[Path], None]) -> Path:
        """A file or folder of that name, which ``work`` makes the first time."""
        path = self.root / name
        if not path.exists():
            place = self.root / f"making_{name}"
            outcome = run(lambda: work(path), place, 300, watched=False)
            if outcome.code:
                raise RuntimeError(f"{name} could not be made: {outcome.stderr}")
            shutil.rmtree(place)
        return path

    def _config(self, name: str, values: dict[str, Any]) -> Path:
        path = self.root / name
        path.write_text(yaml.safe_dump(values))
        return path

    # --- data

    @cached_property
    def shapes(self) -> Path:
        """A COCO-format dataset: 10 and 5 pictures of 64 x 64."""
        from hiera_det.detection.data.shapes import write_shapes

        return self.made("shapes", lambda path: write_shapes(path, num_train=10, num_val=5, image_size=64))

    @cached_property
    def ava(self) -> Path:
        """AVA's layout: 4 and 3 clips of 64 x 64."""
        from hiera_det.projects.ava.miniset import write_miniset

        return self.made("ava", lambda path: write_miniset(path, num_train=4, num_val=3, image_size=64))

    @cached_property
    def pictures(self) -> Path:
        """A folder of 10 pictures in two classes' folders."""

        def work(path: Path) -> None:
            import numpy as np
            from PIL import Image

            draw = np.random.default_rng(0)
            for number in range(10):
                file = path / "ab"[number % 2] / f"{number}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(draw.integers(0, 256, (32, 40, 3), np.uint8)).save(file)

        return self.made("pictures", work)

    @cached_property
    def short_video(self) -> Path:
        """An h264 clip of 12 frames of 64 x 48."""
        return self.made("short.mp4", write_video)

    @property
    def video(self) -> Path:
        """A short h264 clip of 64 x 64."""
        return next((self.ava / "videos").glob("*.mp4"))

    def shapes_words(self, *splits: str) -> list[str]:
        """The options that name splits of the shapes."""
        jsons = [str(self.shapes / "annotations" / f"instances_{split}.json") for split in splits]
        return ["--dataset-json", *jsons, "--image-root", *(str(self.shapes / split) for split in splits)]

    # --- models

    @cached_property
    def detection_config(self) -> Path:
        """Of a tiny detector."""
        return self._config("detection.yaml", TINY)

    @cached_property
    def actions_config(self) -> Path:
        """Of a tiny action detector."""
        return self._config("actions.yaml", {**TINY_ACTIONS, "DATASETS": {"ROOT": str(self.ava)}})

    @cached_property
    def pretraining_config(self) -> Path:
        """Of a tiny masked autoencoder of the shapes."""
        data = {name: [str(self.shapes / split)] for name, split in (("TRAIN", "train"), ("TEST", "val"))}
        return self._config("pretraining.yaml", {**TINY_PRETRAINING, "DATASETS": data})

    @cached_property
    def features_config(self) -> Path:
        """Of an extraction with :attr:`classifier`."""
        return self._config(
            "features.yaml", {**_FEATURES, "MODEL": {**_FEATURES["MODEL"], "WEIGHTS": str(self.classifier)}}
        )

    @cached_property
    def video_features_config(self) -> Path:
        """Of an extraction of clips, with weights drawn anew."""
        model = {"DEVICE": "cpu", "WEIGHTS": str(self.video_classifier), "HIERA": dict(_FEATURES["MODEL"]["HIERA"])}
        model["HIERA"]["NAME"] = "hiera_base_16x224"
        inputs = {"NUM_FRAMES": 4, "RATE": 4}
        return self._config("clips.yaml", {**_FEATURES, "MODEL": model, "INPUT": inputs})

    @cached_property
    def classifier(self) -> Path:
        """A file of a small classifier of images, as the original's: ``model_state``."""
        return self.made("small.pth", lambda path: _save_classifier("hiera_base_224", path))

    @cached_property
    def video_classifier(self) -> Path:
        """A file of a small classifier of clips."""
        return self.made("small_clips.pth", lambda path: _save_classifier("hiera_base_16x224", path))

    @cached_property
    def published(self) -> Path:
        """A file of a classifier in a published size."""
        return self.made("tiny.pth", _save_published)

    @cached_property
    def detection_run(self) -> Path:
        """The folder of a detector's run."""
        words = ["train", "--backend", "torchvision", "--config", str(self.detection_config)]
        words += self.shapes_words("train", "val")
        return self.made("detection_run", lambda path: command([*words, *_keys(_SHORT), "OUTPUT_DIR", str(path)])())

    @cached_property
    def actions_run(self) -> Path:
        """The folder of an action detector's run."""
        words = ["train", "--config", str(self.actions_config), *_keys(_SHORT)]
        return self.made("actions_run", lambda path: command([*words, "OUTPUT_DIR", str(path)])())

    @cached_property
    def store(self) -> Path:
        """A store of the pictures' features."""
        words = ["extract", "--config", str(self.features_config), "--input", str(self.pictures)]
        return self.made("store", lambda path: command([*words, "--output", str(path)])())


def _keys(values: dict[str, Any]) -> list[str]:
    return [word for name, value in values.items() for word in (f"SOLVER.{name}", str(value))]


def _save_classifier(name: str, path: Path) -> None:
    import torch

    from hiera_det import build_hiera

    torch.manual_seed(0)
    model = build_hiera(name, embed_dim=8, stages=(1, 1, 1, 1), num_classes=3)
    for parameter in model.parameters():
        parameter.data.normal_(std=0.1)
    torch.save({"model_state": model.state_dict()}, path)


def write_video(
    path: Path,
    container: str = "mp4",
    codec: str = "libx264",
    times: Iterable[int] = range(12),
    size: tuple[int, int] = (64, 48),
) -> None:
    """Write a clip with a frame of one colour at each of the times, in thirtieths of a second."""
    import av
    import numpy as np

    with av.open(str(path), "w", format=container) as target:
        stream = target.add_stream(codec, rate=30)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for time in times:
            frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), time % 255, np.uint8), format="rgb24")
            frame.pts = time
            for packet in stream.encode(frame):
                target.mux(packet)
        for packet in stream.encode():
            target.mux(packet)


def _save_published(path: Path) -> None:
    import torch

    from hiera_det import build_hiera

    torch.manual_seed(0)
    torch.save({"model_state": build_hiera("hiera_tiny_224").state_dict()}, path)
