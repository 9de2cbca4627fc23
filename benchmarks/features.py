"""Feature extraction against its own model, which shows what the rest costs, and against a user's own loop."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fvcore.common.config import CfgNode
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.cases import Case
from benchmarks.contender import DTYPES, OURS, Contender, Job, check_names
from benchmarks.rounds import run_case
from hiera_det.features.batching import Batch, batches
from hiera_det.features.extract import extract_parts
from hiera_det.features.extractor import FeatureExtractor
from hiera_det.features.inputs.items import Item, Plan
from hiera_det.features.store.writer import create_store

__all__ = ["compare_extraction"]


def compare_extraction(
    cfg: CfgNode, items: Sequence[Item], peers: Sequence[str], threads: Sequence[int], *, device: str, rounds: int
) -> Iterator[Case]:
    """Run the model alone, the whole extraction and the peers in turn, on the same items.

    Args:
        cfg: see ``hiera_det/features/config.py``; the weights are random.
        items: what to extract; prepared, they all lie in memory for the model's own turns.
        peers: "timm", a data loader around timm's model with timm's transforms, which writes arrays; or none.
        threads: of torch, one number for each case.
        device: "cpu" or "cuda".
        rounds: counted turns of each.

    Raises:
        ValueError: an unknown peer.
    """
    check_names("--vs", peers, ["timm"])
    contenders = [
        Contender("model", OURS, "prepared batches", partial(_build_model, cfg, items, device)),
        Contender("whole", OURS, "files to store", partial(_build_whole, cfg, items, device)),
        *(Contender(name, "timm", "files to arrays", partial(_build_timm, cfg, items, device)) for name in peers),
    ]
    kept = {"variant": cfg.MODEL.HIERA.NAME, "items": len(items), "batch": cfg.DATALOADER.BATCH_SIZE}
    for number in threads:
        yield run_case(
            contenders,
            {**kept, "threads": number},
            device=device,
            threads=number,
            rounds=rounds,
            product_dtype=cfg.FEATURES.PRECISION,
        )


def _extractor(cfg: CfgNode, device: str) -> FeatureExtractor:
    torch.manual_seed(0)
    return FeatureExtractor(cfg, num_classes=1000).to(device)


def _build_model(cfg: CfgNode, items: Sequence[Item], device: str) -> Job:
    model, plan = _extractor(cfg, device), Plan(items, cfg.STORE.ITEMS_PER_SHARD)
    prepared = [step for step in batches(plan, range(len(plan)), cfg) if isinstance(step, Batch)]

    def run() -> list[Tensor]:
        for batch in prepared:
            model([image.pixels for image in batch.images], [image.boxes for image in batch.images])
        return []

    return Job(run, items=len(items), counted=run)


def _build_whole(cfg: CfgNode, items: Sequence[Item], device: str) -> Job:
    model, plan = _extractor(cfg, device), Plan(items, cfg.STORE.ITEMS_PER_SHARD)

    def run() -> list[Tensor]:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "store"
            create_store(root, {"package_version": "", "model": "", "weights_sha256": ""}, plan)
            extract_parts(model, plan, range(len(plan)), root, cfg)
        return []

    return Job(run, items=len(items), counted=run)


class _Pictures(Dataset[Tensor]):
    """Image files through a transform to (3, H, W)."""

    def __init__(self, paths: Sequence[str], transform: Callable[[Image.Image], Tensor]) -> None:
        self.paths = paths
        self.transform = transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        return self.transform(Image.open(self.paths[index]).convert("RGB"))


def _build_timm(cfg: CfgNode, items: Sequence[Item], device: str) -> Job:
    """What timm's documentation leads to: a file of arrays for each batch, with the means of the last map and the map.

    Raises:
        ValueError: the config wants something else of it.
    """
    import timm
    from timm.data import create_transform, resolve_data_config

    if cfg.INPUT.RESIZE != "crop" or any(item.member or item.time is not None for item in items):
        raise ValueError("it takes image files at one size; INPUT.RESIZE crop does so with all contenders")
    dtype, side = DTYPES[cfg.FEATURES.PRECISION], cfg.INPUT.SIZE
    model: Any = timm.create_model(cfg.MODEL.HIERA.NAME, num_classes=0, img_size=side)
    transform = create_transform(**resolve_data_config({"img_size": side}, model=model), is_training=False)
    model.to(device, dtype).eval()
    loader = DataLoader(
        _Pictures([item.path for item in items], transform),
        batch_size=cfg.DATALOADER.BATCH_SIZE,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        pin_memory=device == "cuda",
    )

    @torch.inference_mode()
    def run() -> list[Tensor]:
        with tempfile.TemporaryDirectory() as folder:
            for number, pixels in enumerate(loader):
                (last,) = model.forward_intermediates(
                    pixels.to(device, dtype, non_blocking=True), indices=1, intermediates_only=True
                )  # (B, C, h, w)
                last = last.half().cpu()
                np.savez(Path(folder) / f"{number}.npz", res5=last.numpy(), mean=last.mean((2, 3)).numpy())
        return []

    return Job(run, items=len(items), counted=run)
