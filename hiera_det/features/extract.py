"""The extraction itself: parts of a plan through the model into shards."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import torch
from fvcore.common.config import CfgNode
from torch import Tensor

from hiera_det.features.batching import Batch, PartEnd, batches
from hiera_det.features.extractor import Extracted, FeatureExtractor, cut
from hiera_det.features.items import Plan
from hiera_det.features.reading import UnreadableItemError
from hiera_det.features.store import Features
from hiera_det.features.writer import write_shard

__all__ = ["extract_parts"]

logger = logging.getLogger(__name__)


def extract_parts(
    model: FeatureExtractor,
    plan: Plan,
    parts: Sequence[int],
    root: str | Path,
    cfg: CfgNode,
    *,
    strict: bool = False,
    progress: Callable[[int], object] = lambda items: None,
) -> int:
    """Compute the features of parts of a plan, and write a shard for each.

    Decoding runs in processes, writing in a thread. On a GPU a batch is computed while the results of the one before
    are fetched. At most two shards are held in memory.

    Args:
        model: on its device.
        plan: the items.
        parts: numbers of the parts to do.
        root: the store.
        cfg: ``INPUT`` and ``DATALOADER``.
        strict: an item that cannot be read ends the run.
        progress: is told how many items were done, again and again.

    Returns:
        How many items could not be read.

    Raises:
        UnreadableItemError: with ``strict``, one cannot be read. The shards before its own are complete.
        OSError: a shard cannot be written. Those before it are complete.
    """
    failed = 0
    shard: list[Features] = []
    running: deque[tuple[Batch, Extracted]] = deque()

    def collect() -> None:
        batch, extracted = running.popleft()
        shard.extend(_per_item(batch, extracted, model))
        progress(len(batch.images))

    with ThreadPoolExecutor(max_workers=1) as writer:
        writing: Future[None] | None = None
        for step in batches(plan, parts, cfg):
            if isinstance(step, Batch):
                running.append((step, model([i.pixels for i in step.images], [i.boxes for i in step.images])))
                if len(running) > 1:
                    collect()
                continue
            while running:
                collect()
            if writing is not None:
                writing.result()
            failed += len(step.failed)
            for _, reason in step.failed:
                if strict:
                    raise UnreadableItemError(f"{reason}; to skip such items leave out --strict")
                logger.warning("skipped: %s", reason)
            progress(len(step.failed))
            writing = writer.submit(write_shard, root, step.part, in_order(shard, plan, step), step.failed)
            shard = []
        if writing is not None:
            writing.result()
    return failed


def in_order(shard: Sequence[Features], plan: Plan, end: PartEnd) -> list[Features]:
    """Features of a part in the order of its items: batching by size has mixed them."""
    order = {item.id: place for place, item in enumerate(plan[end.part])}
    return sorted(shard, key=lambda features: order[features.item.id])


def _per_item(batch: Batch, extracted: Extracted, model: FeatureExtractor) -> list[Features]:
    """Padding off, and on the CPU."""
    maps = {name: feature.cpu() for name, feature in extracted.maps.items()}  # (B, C, (T,) h, w)
    result = []
    for i, (image, vectors) in enumerate(zip(batch.images, extracted.vectors, strict=True)):
        own = {
            name: cut(feature[i], image.pixels, model.strides[name]).clone(memory_format=torch.contiguous_format)
            for name, feature in maps.items()
        }
        result.append(
            Features(image.item, image.height, image.width, own, model.strides, _to_store(vectors, model.dtype))
        )
    return result


def _to_store(vectors: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    return {name: vector.to(dtype).cpu() for name, vector in vectors.items()}
