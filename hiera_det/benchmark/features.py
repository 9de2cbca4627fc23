"""Feature extraction against its own model: what decoding, preparing and writing cost besides."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from fvcore.common.config import CfgNode
from torch import Tensor

from hiera_det.benchmark.cases import Case
from hiera_det.benchmark.contender import OURS, Contender, Job
from hiera_det.benchmark.rounds import run_case
from hiera_det.features.batching import Batch, batches
from hiera_det.features.extract import extract_parts
from hiera_det.features.extractor import FeatureExtractor
from hiera_det.features.inputs.items import Item, Plan
from hiera_det.features.store.writer import create_store

__all__ = ["compare_extraction"]


def compare_extraction(
    cfg: CfgNode, items: Sequence[Item], threads: Sequence[int], *, device: str, rounds: int
) -> Iterator[Case]:
    """Run the model alone and the whole extraction in turn, on the same items in the same batches.

    Args:
        cfg: see ``hiera_det/features/config.py``; the weights are random.
        items: what to extract; prepared, they all lie in memory for the model's own turns.
        threads: of torch, one number for each case.
        device: "cpu" or "cuda".
        rounds: counted turns of each.
    """
    contenders = [
        Contender("model", OURS, "prepared batches", partial(_build_model, cfg, items, device)),
        Contender("whole", OURS, "files to store", partial(_build_whole, cfg, items, device)),
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
