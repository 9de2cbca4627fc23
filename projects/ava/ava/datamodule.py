"""The keyframes of a run and their loaders, for Lightning."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import lightning as L
import torch
from fvcore.common.config import CfgNode
from hiera_det.projects.ava.data.clips import ClipSource
from hiera_det.projects.ava.data.dataset import AvaDataset, BrokenClip
from hiera_det.projects.ava.data.frames import FrameFolders
from hiera_det.projects.ava.data.keyframes import keyframes_from
from hiera_det.projects.ava.data.transforms import TestTransform, TrainTransform
from hiera_det.projects.ava.data.videos import VideoFiles, find_videos
from hiera_det.projects.ava.formats import Rows, read_exclusions, read_ground_truth, read_label_map, read_person_boxes
from torch.utils.data import DataLoader, Dataset

from hiera_det.engine.loaders import InferenceSampler, TrainingSampler
from hiera_det.engine.options import images_per_batch

__all__ = ["AvaData", "build_source"]

TEST_BATCH = 8  # clips, where all have one size


class AvaData(L.LightningDataModule):
    """Training clips from the resumed iteration on; test clips, each on one rank.

    Args:
        cfg: the config; files are read when they are first asked for.
    """

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__()
        self.cfg = cfg

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
        """The training set."""
        node = self.cfg.INPUT
        short_side = tuple(node.MIN_SIZE_TRAIN)
        transform = TrainTransform(short_side, node.CROP_SIZE, flip=node.FLIP, box_jitter=node.BOX_JITTER)
        return self._read("TRAIN", read_ground_truth(self._path("TRAIN")), transform)

    @cached_property
    def test_dataset(self) -> AvaDataset:
        """The test set."""
        node = self.cfg.INPUT
        crop = node.MIN_SIZE_TEST if node.CENTER_CROP_TEST else None
        transform = TestTransform(node.MIN_SIZE_TEST, centre_crop=crop, box_extension=node.BOX_EXTENSION)
        return self._read("TEST", self.ground_truth, transform)

    def train_dataloader(self) -> DataLoader:
        """An endless stream that goes on where the run stands."""
        assert self.trainer is not None
        trainer = self.trainer
        clips = images_per_batch(self.cfg, trainer.world_size, trainer.accumulate_grad_batches)
        seed: Any = trainer.lightning_module.seed
        start = trainer.global_step * trainer.accumulate_grad_batches * clips
        sampler = TrainingSampler(
            len(self.train_dataset), seed, rank=trainer.global_rank, world_size=trainer.world_size, start=start
        )
        return self._loader(self.train_dataset, sampler, clips)

    def val_dataloader(self) -> DataLoader:
        """The share of this rank in the test clips, in order."""
        assert self.trainer is not None
        dataset = _Reporting(self.test_dataset)
        sampler = InferenceSampler(len(self.test_dataset), self.trainer.global_rank, self.trainer.world_size)
        return self._loader(dataset, sampler, TEST_BATCH if self.cfg.INPUT.CENTER_CROP_TEST else 1)

    def _loader(self, dataset: Dataset, sampler: Any, batch_size: int) -> DataLoader:
        return DataLoader(
            dataset,
            batch_size=batch_size,
            sampler=sampler,
            num_workers=self.cfg.DATALOADER.NUM_WORKERS,
            collate_fn=collate,
            pin_memory=torch.cuda.is_available(),
        )

    def _read(self, split: str, ground_truth: Rows, transform: Any) -> AvaDataset:
        node = self.cfg.DATASETS
        boxes = read_person_boxes(self._path(f"{split}_BOXES")) if node[f"{split}_BOXES"] else None
        keyframes = keyframes_from(
            ground_truth, boxes, self.label_map, min_score=node.MIN_BOX_SCORE, training=split == "TRAIN"
        )
        frames, rate = self.cfg.INPUT.NUM_FRAMES, self.cfg.INPUT.RATE
        return AvaDataset(keyframes, build_source(self.cfg), transform, frames, rate)

    def _path(self, key: str) -> Path:
        return Path(self.cfg.DATASETS.ROOT) / self.cfg.DATASETS[key]


def build_source(cfg: CfgNode) -> ClipSource:
    """Frames or videos, as ``DATASETS.SOURCE`` says.

    Raises:
        ValueError: it says something else.
        OSError: a folder or a list is missing.
    """
    node = cfg.DATASETS
    root = Path(node.ROOT)
    if node.SOURCE == "frames":
        lists = [root / path for path in node.FRAME_LISTS]
        return FrameFolders(root / node.FRAMES, lists, first_second=node.FIRST_SECOND, fps=node.FPS)
    if node.SOURCE == "videos":
        return VideoFiles(find_videos(root / node.VIDEOS), first_second=node.FIRST_SECOND)
    raise ValueError(f"DATASETS.SOURCE is {node.SOURCE!r}; expected 'frames' or 'videos'")


class _Reporting(Dataset):
    """A dataset that gives ``{"index", "broken": message}`` for a clip that cannot be read."""

    def __init__(self, dataset: AvaDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        try:
            return self.dataset[index]
        except BrokenClip as error:
            return {"index": index, "broken": str(error)}


def collate(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Clips of one size, or their maps, to a batch.

    Returns:
        ``clips`` (B, 3, T, H, W) uint8, or ``maps`` by stage (B, C, T, h, w) of clips of any size; ``boxes`` and
        ``kept`` of each clip, ``labels`` (sum of N, K), ``index`` of each, and ``broken``: message by index. Without a
        readable clip there are but the last two.
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
