"""A task of few lines: a line fitted to points. As a script it trains it: toy.py OUTPUT_DIR ACCUMULATE."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from hiera_det.config import get_cfg
from hiera_det.engine.options import RunOptions
from hiera_det.engine.run import train
from hiera_det.engine.task import Task


class Points(Dataset):
    def __init__(self, number: int) -> None:
        self.points = torch.randn(number, 4, generator=torch.Generator().manual_seed(1))

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, key: Any) -> torch.Tensor:
        return self.points[key[0] if isinstance(key, tuple) else key]


class ToyTask(Task):
    name = "toy"

    train_dataset, test_dataset = Points(32), None

    def data_sums(self, *, training):
        return {}

    @staticmethod
    def collate(items):
        return torch.stack(items)

    def names_of(self, batch):
        return [round(float(point[0]), 3) for point in batch]

    def build_model(self):
        model = nn.Module()
        model.backbone = nn.Linear(3, 1)
        return model

    def losses(self, model, batch):
        return {"loss": (model.backbone(batch[:, :3])[:, 0] - batch[:, 3]).square().mean()}

    def predict(self, model, batch):
        raise NotImplementedError

    results_of = judge = scalars = table = predict

    def test_ids(self):
        return []

    def classes(self):
        return ["line"], [1]

    def check_classes(self, description, source, *, training):
        pass


def fit(output: Path, accumulate: int, *overrides: Any, resume: bool = False) -> None:
    cfg = get_cfg()
    cfg.merge_from_list(
        [
            *("MODEL.DEVICE", "cpu", "OUTPUT_DIR", str(output), "SEED", 3, "DATALOADER.NUM_WORKERS", 0),
            *("SOLVER.BASE_LR", 0.1, "SOLVER.IMS_PER_BATCH", 8, "SOLVER.MAX_ITER", 5, "SOLVER.STEPS", []),
            *("SOLVER.WARMUP_ITERS", 0, "LOGGERS", [], *overrides),
        ]
    )
    train(ToyTask(cfg), RunOptions(accumulate=accumulate), resume=resume)


if __name__ == "__main__":
    fit(Path(sys.argv[1]), int(sys.argv[2]))
