"""Compare feature extraction with its model alone, which shows what the rest costs, and with a loop around timm."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fvcore.common.config import CfgNode
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.candidate import DTYPES, OURS, Candidate, Job, check_names
from benchmarks.cases import Case, combinations
from benchmarks.rounds import Settings, run_case
from hiera_det.data.image_files import open_image
from hiera_det.features.batching import Batch, batches
from hiera_det.features.extract import extract_parts
from hiera_det.features.extractor import FeatureExtractor
from hiera_det.features.store.writer import create_store
from hiera_det.inputs.items import Item, Plan

__all__ = ["compare_extraction"]


def compare_extraction(
    cfg: CfgNode, items: Sequence[Item], baselines: Sequence[str], axes: Mapping[str, Sequence[Any]], settings: Settings
) -> Iterator[Case]:
    """Time the model alone, the extraction from files to a store, and the baselines, on the same items.

    Args:
        cfg: see ``hiera_det/features/config.py``; the weights are random.
        items: what to extract; for the model alone, all of them lie in memory as batches.
        baselines: "timm", a data loader around timm's model with timm's transforms, which writes arrays; or none.
        axes: lists of values for each condition: ``threads``.
        settings: rounds and device.

    Raises:
        ValueError: a baseline is unknown.
    """
    check_names("--vs", baselines, ["timm"])
    arguments = (cfg, items, settings.device)
    candidates = [
        Candidate("model", OURS, "batches to features", partial(_build_model, *arguments)),
        Candidate("extraction", OURS, "files to store", partial(_build_extraction, *arguments)),
        *(Candidate(name, "timm", "files to arrays", partial(_build_timm, *arguments)) for name in baselines),
    ]
    fixed = {
        "variant": cfg.MODEL.HIERA.NAME,
        "items": len(items),
        "batch": cfg.DATALOADER.BATCH_SIZE,
        "dtype": cfg.FEATURES.PRECISION,
    }
    for case in combinations(axes):
        yield run_case(candidates, {**fixed, **case}, settings)


def _extractor(cfg: CfgNode, device: str) -> FeatureExtractor:
    torch.manual_seed(0)
    return FeatureExtractor(cfg, num_classes=1000).to(device)


def _build_model(cfg: CfgNode, items: Sequence[Item], device: str) -> Job:
    model, plan = _extractor(cfg, device), Plan(items, cfg.STORE.ITEMS_PER_SHARD)
    prepared = [batch for batch in batches(plan, range(len(plan)), cfg) if isinstance(batch, Batch)]

    def step() -> list[Tensor]:
        for batch in prepared:
            model([image.pixels for image in batch.images], [image.boxes for image in batch.images])
        return []

    return Job(step, items=len(items), counted=step)


def _build_extraction(cfg: CfgNode, items: Sequence[Item], device: str) -> Job:
    model, plan = _extractor(cfg, device), Plan(items, cfg.STORE.ITEMS_PER_SHARD)

    def step() -> list[Tensor]:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "store"
            create_store(root, {"package_version": "", "model": "", "weights_sha256": ""}, plan)
            extract_parts(model, plan, range(len(plan)), root, cfg)
        return []

    return Job(step, items=len(items), counted=step)


def _read(transform: Callable[[Image.Image], Tensor], paths: Sequence[str]) -> Tensor:
    return torch.stack([transform(open_image(Path(path)).convert("RGB")) for path in paths])  # (B, 3, H, W)


def _build_timm(cfg: CfgNode, items: Sequence[Item], device: str) -> Job:
    """Build the loop of timm's documentation: for each batch a file with the last map and its mean.

    Raises:
        ValueError: the config or the items ask for something else.
    """
    import timm
    from timm.data import create_transform, resolve_data_config

    if cfg.INPUT.RESIZE != "crop" or any(item.member or item.time is not None for item in items):
        raise ValueError("it takes image files at one size; INPUT.RESIZE crop gives all candidates the same")
    dtype, side = DTYPES[cfg.FEATURES.PRECISION], cfg.INPUT.SIZE
    model: Any = timm.create_model(cfg.MODEL.HIERA.NAME, num_classes=0, img_size=side)
    transform = create_transform(**resolve_data_config({"img_size": side}, model=model), is_training=False)
    model.to(device, dtype).eval()
    loader: DataLoader[Tensor] = DataLoader(
        [item.path for item in items],  # type: ignore[arg-type]
        batch_size=cfg.DATALOADER.BATCH_SIZE,
        collate_fn=partial(_read, transform),
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        pin_memory=device == "cuda",
    )

    @torch.inference_mode()
    def step() -> list[Tensor]:
        with tempfile.TemporaryDirectory() as folder:
            for number, pixels in enumerate(loader):
                (last,) = model.forward_intermediates(
                    pixels.to(device, dtype, non_blocking=True), indices=1, intermediates_only=True
                )  # (B, C, h, w)
                last = last.half().cpu()
                np.savez(Path(folder) / f"{number}.npz", res5=last.numpy(), mean=last.mean((2, 3)).numpy())
        return []

    return Job(step, items=len(items), counted=step)
