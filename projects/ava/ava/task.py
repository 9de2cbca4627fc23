"""Action detection as a task of the engine."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from hiera_det.engine.distributed import mean_over_ranks
from hiera_det.engine.failed import write_failed
from hiera_det.engine.task import Task
from hiera_det.projects.ava.data.dataset import AvaDataset, ReportingDataset
from hiera_det.projects.ava.data.keyframes import keyframes_from
from hiera_det.projects.ava.data.sources import open_source
from hiera_det.projects.ava.data.transforms import TestTransform, TrainTransform
from hiera_det.projects.ava.evaluation import PROTOCOLS, Result, evaluate
from hiera_det.projects.ava.evaluation.report import format_table, write_metrics, write_plot
from hiera_det.projects.ava.evaluation.results import to_rows
from hiera_det.projects.ava.formats import (
    Rows,
    read_exclusions,
    read_ground_truth,
    read_label_map,
    read_person_boxes,
    write_results,
)
from hiera_det.projects.ava.model import build_model
from hiera_det.utils.files import file_sum
from hiera_det.weights.description import Description

__all__ = ["ActionMetrics", "ActionTask"]

logger = logging.getLogger(__name__)

TEST_BATCH = 8  # clips, where all have one size


@dataclass(frozen=True)
class ActionMetrics:
    """Metrics of an evaluation, and a message by index of each clip that could not be read."""

    result: Result
    broken: dict[int, str]


class ActionTask(Task):
    """Training and evaluation of an action detector; its checkpoints hold names and ids of the actions.

    Args:
        cfg: of :func:`~hiera_det.projects.ava.config.defaults`; files are read when they are first asked for.

    Raises:
        ValueError: ``TEST.PROTOCOL`` is unknown.
    """

    name = "actions"

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__(cfg)
        if cfg.TEST.PROTOCOL not in PROTOCOLS:
            raise ValueError(f"TEST.PROTOCOL is {cfg.TEST.PROTOCOL!r}; expected one of {', '.join(PROTOCOLS)}")
        self.test_batch_size = TEST_BATCH if cfg.INPUT.CENTER_CROP_TEST else 1

    # --- data

    @cached_property
    def label_map(self) -> dict[int, str]:
        """Action names by id, ascending."""
        return read_label_map(self._path("LABEL_MAP"))

    @cached_property
    def ground_truth(self) -> Rows:
        """Annotations of the test set."""
        return read_ground_truth(self._path("TEST"))

    @cached_property
    def exclusions(self) -> set[tuple[str, float]]:
        """Keyframes that the evaluation leaves out."""
        return read_exclusions(self._path("EXCLUSIONS")) if self.cfg.DATASETS.EXCLUSIONS else set()

    @cached_property
    def train_dataset(self) -> AvaDataset:
        """Clips of the training set."""
        node = self.cfg.INPUT
        short_side = tuple(node.MIN_SIZE_TRAIN)
        transform = TrainTransform(short_side, node.CROP_SIZE, flip=node.FLIP, box_jitter=node.BOX_JITTER)
        return self._read("TRAIN", read_ground_truth(self._path("TRAIN")), transform)

    @cached_property
    def test_clips(self) -> AvaDataset:
        """Clips of the test set."""
        node = self.cfg.INPUT
        crop = node.MIN_SIZE_TEST if node.CENTER_CROP_TEST else None
        transform = TestTransform(node.MIN_SIZE_TEST, centre_crop=crop, box_extension=node.BOX_EXTENSION)
        return self._read("TEST", self.ground_truth, transform)

    @property
    def test_dataset(self) -> Dataset:
        """Clips of the test set, or what is wrong with those that cannot be read."""
        return ReportingDataset(self.test_clips)

    def _read(self, split: str, ground_truth: Rows, transform: Any) -> AvaDataset:
        node = self.cfg.DATASETS
        boxes = read_person_boxes(self._path(f"{split}_BOXES")) if node[f"{split}_BOXES"] else None
        keyframes = keyframes_from(
            ground_truth, boxes, self.label_map, min_score=node.MIN_BOX_SCORE, training=split == "TRAIN"
        )
        logger.info("DATASETS.%s: %d keyframes", split, len(keyframes))
        source = open_source(self.cfg, split)
        return AvaDataset(keyframes, source, transform, self.cfg.INPUT.NUM_FRAMES, self.cfg.INPUT.RATE)

    def _path(self, key: str) -> Path:
        return Path(self.cfg.DATASETS.ROOT) / self.cfg.DATASETS[key]

    def data_sums(self, *, training: bool) -> dict[str, tuple[str, str]]:
        """Of each table: annotations, boxes, label map, lists of frames."""
        node = self.cfg.DATASETS
        keys = ["LABEL_MAP", "TEST", "TEST_BOXES", "EXCLUSIONS", *(("TRAIN", "TRAIN_BOXES") if training else ())]
        paths = {key: self._path(key) for key in keys if node[key]}
        if node.SOURCE == "frames":
            paths |= {f"FRAME_LISTS[{i}]": Path(node.ROOT) / name for i, name in enumerate(node.FRAME_LISTS)}
        return {key: (file_sum(path), str(path)) for key, path in paths.items()}

    @staticmethod
    def collate(items: list[dict[str, Any]]) -> dict[str, Any]:
        """Clips of one size to a batch.

        Returns:
            ``clips`` (B, 3, T, H, W) uint8, ``boxes`` and ``kept`` of each clip, ``labels`` (sum of N, K), ``index`` of
            each, and ``broken``: message by index. Without a readable clip there are but the last two.
        """
        broken = {item["index"]: item["broken"] for item in items if "broken" in item}
        items = [item for item in items if "broken" not in item]
        batch: dict[str, Any] = {"index": [item["index"] for item in items], "broken": broken}
        if items:
            batch["clips"] = torch.stack([item["clip"] for item in items])
            batch["boxes"] = [item["boxes"] for item in items]
            batch["kept"] = [item["kept"] for item in items]
            batch["labels"] = torch.cat([item["labels"] for item in items])
        return batch

    def names_of(self, batch: dict[str, Any]) -> list[str]:
        """Videos and seconds."""
        keyframes = [self.train_dataset.keyframe(index) for index in batch["index"]]
        return [f"{keyframe.video} at {keyframe.second:g} s" for keyframe in keyframes]

    # --- model

    def build_model(self) -> nn.Module:
        """The action detector of the config, for the actions of the label map."""
        return build_model(self.cfg, len(self.label_map))

    def losses(self, model: nn.Module, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Binary cross-entropy: the mean over actions and the persons of all ranks, 0 where there is no person.

        Ranks have more or fewer persons; as in DETR (``num_boxes``), each divides by the mean of their numbers, so
        that DDP's mean of the gradients is that of one process with all clips.
        """
        logits = model(batch["clips"], batch["boxes"])  # (R, K)
        persons = mean_over_ranks(logits.new_tensor(len(logits)))
        total = F.binary_cross_entropy_with_logits(logits, batch["labels"], reduction="sum")
        return {"loss_bce": total / logits.shape[1] / persons.clamp(min=1e-6)}

    def predict(self, model: nn.Module, batch: dict[str, Any]) -> list[Tensor]:
        """Probabilities (N, K) of the persons of each clip."""
        if "clips" not in batch:
            return []
        probabilities = model(batch["clips"], batch["boxes"]).sigmoid()
        return list(probabilities.split([len(boxes) for boxes in batch["boxes"]]))

    # --- evaluation

    def test_ids(self) -> Sequence[int]:
        """Indices of the keyframes."""
        return range(len(self.test_clips))

    def results_of(self, batch: dict[str, Any], predictions: list[Tensor]) -> list[tuple[int, Any]]:
        """Of each keyframe which persons are left (M,) and their probabilities (M, K); a message of a broken clip."""
        found = zip(batch["index"], batch["kept"] if predictions else [], predictions, strict=True)
        return [(index, (kept.cpu().numpy(), each.cpu().numpy())) for index, kept, each in found] + list(
            batch["broken"].items()
        )

    def judge(self, results: Mapping[int, Any], folder: Path) -> ActionMetrics:
        """AVA's mAP; also writes the results, AP by action and a plot of it."""
        broken = {index: value for index, value in results.items() if isinstance(value, str)}
        write_failed(folder / "failed.csv", "clip", broken, len(results))
        found = {index: value for index, value in results.items() if index not in broken}
        rows = to_rows(self.test_clips, found, list(self.label_map), self.cfg.TEST.TIMES_PERSON_SCORE)
        result = evaluate(self.ground_truth, rows, self.label_map, self.cfg.TEST.PROTOCOL, self.exclusions)
        write_results(folder / "results.csv", rows)
        write_metrics(folder / "metrics.json", result)
        write_plot(folder / "ap.png", result)
        return ActionMetrics(result, broken)

    def scalars(self, metrics: ActionMetrics) -> dict[str, float]:
        """``mAP`` and ``ap/<action>``, 0 to 1."""
        return {"mAP": metrics.result.mean_ap, **{f"ap/{name}": ap for name, ap in metrics.result.ap.items()}}

    def table(self, metrics: ActionMetrics) -> str:
        """MAP and AP by action."""
        return format_table(metrics.result)

    def exit_code(self, metrics: ActionMetrics) -> int:
        """1 if a clip was broken and ``TEST.STRICT`` is on."""
        if not metrics.broken or not self.cfg.TEST.STRICT:
            return 0
        logger.error("%d clips could not be read, and TEST.STRICT is on", len(metrics.broken))
        return 1

    # --- checkpoints

    def classes(self) -> tuple[list[str], list[int]]:
        """The label map's."""
        return list(self.label_map.values()), list(self.label_map)

    def check_classes(self, description: Description, source: str, *, training: bool) -> None:
        """Compare the label map, which a checkpoint has to have."""
        names, ids = description.class_names, description.category_ids
        if names != list(self.label_map.values()) or ids != list(self.label_map):
            raise ValueError(
                f"{source} has {len(names) if names else 'no'} actions ({', '.join((names or [])[:3])}, ...), the"
                f" label map {len(self.label_map)} ({', '.join(list(self.label_map.values())[:3])}, ...): name the"
                " label map that it was trained with, DATASETS.LABEL_MAP"
            )
