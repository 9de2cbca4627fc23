"""Feature extraction against its own model: what decoding, preparing and writing cost besides."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from fvcore.common.config import CfgNode

from hiera_det.features.batching import Batch, batches
from hiera_det.features.extract import extract_parts
from hiera_det.features.extractor import FeatureExtractor
from hiera_det.features.inputs.items import Item, Plan
from hiera_det.features.store.writer import create_store

__all__ = ["Extraction", "compare_extraction"]


@dataclass
class Extraction:
    """Seconds for all items, by round.

    Attributes:
        bare: of the model alone, over batches that lie prepared in memory.
        whole: of the same model, from files to a store on disk.
    """

    items: int
    bare: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)

    @property
    def shares(self) -> list[float]:
        """Throughput of the whole as a share of the bare model's, by round."""
        return [bare / whole for bare, whole in zip(self.bare, self.whole, strict=True)]

    @property
    def table(self) -> str:
        """Medians and ranges, for people."""
        rows = [
            f"{name:6} {self.items / statistics.median(seconds):8.2f} items/s "
            f"({self.items / max(seconds):.2f}-{self.items / min(seconds):.2f})"
            for name, seconds in (("model", self.bare), ("whole", self.whole))
        ]
        low, high = min(self.shares), max(self.shares)
        return "\n".join([*rows, f"whole / model: {statistics.median(self.shares):.3f} ({low:.3f}-{high:.3f})"])


def compare_extraction(cfg: CfgNode, items: Sequence[Item], *, device: str, rounds: int) -> Extraction:
    """Run the model alone and the whole extraction in turn, on the same items in the same batches.

    Args:
        cfg: see ``hiera_det/features/config.py``; the weights are random.
        items: what to extract; prepared, they all lie in memory for the model's own rounds.
        device: "cpu" or "cuda".
        rounds: counted rounds, after one that is not.
    """
    torch.manual_seed(0)
    model = FeatureExtractor(cfg, num_classes=1000).to(device)
    plan = Plan(items, cfg.STORE.ITEMS_PER_SHARD)
    prepared = [step for step in batches(plan, range(len(plan)), cfg) if isinstance(step, Batch)]
    result = Extraction(len(items))
    for _ in range(rounds + 1):
        result.bare.append(_bare(model, prepared))
        result.whole.append(_whole(model, plan, cfg))
    del result.bare[0], result.whole[0]
    return result


def _bare(model: FeatureExtractor, prepared: Sequence[Batch]) -> float:
    start = time.perf_counter()
    for batch in prepared:
        model([image.pixels for image in batch.images], [image.boxes for image in batch.images])
    if model.pixel_mean.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _whole(model: FeatureExtractor, plan: Plan, cfg: CfgNode) -> float:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "store"
        create_store(root, {"package_version": "", "model": "", "weights_sha256": ""}, plan)
        start = time.perf_counter()
        extract_parts(model, plan, range(len(plan)), root, cfg)
        return time.perf_counter() - start
