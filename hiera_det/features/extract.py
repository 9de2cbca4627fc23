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

from hiera_det.engine.loaders import ending_workers
from hiera_det.features.batching import Batch, Unreadable, batches
from hiera_det.features.extractor import Extracted, FeatureExtractor, cut
from hiera_det.features.store.reader import Features
from hiera_det.features.store.writer import write_shard
from hiera_det.inputs.items import Item, Plan

__all__ = ["extract_parts"]

logger = logging.getLogger(__name__)


def extract_parts(
    model: FeatureExtractor,
    plan: Plan,
    parts: Sequence[int],
    root: str | Path,
    cfg: CfgNode,
    *,
    progress: Callable[[int], object] = lambda items: None,
) -> None:
    """Compute the features of parts of a plan, and write a shard for each.

    Decoding runs in processes, writing in a thread. A GPU has the next batch to compute while the results of the one
    before are copied and sorted. At most two shards are held in memory.

    Args:
        model: on its device.
        plan: the items.
        parts: numbers of the parts to do.
        root: the store.
        cfg: ``INPUT``, ``DATALOADER`` and ``FEATURES``.
        progress: is told how many items were done, again and again.

    Raises:
        OSError: a shard cannot be written, or a decoding process has died. Shards before it are complete.
    """
    shard: list[Features] = []
    failed: list[tuple[Item, str]] = []
    running: deque[_Results] = deque()

    def collect() -> None:
        results = running.popleft()
        shard.extend(results.per_item(model))
        progress(len(results.batch.images))

    with ending_workers(), ThreadPoolExecutor(max_workers=1) as writer:
        writing: Future[None] | None = None
        for step in batches(plan, parts, cfg):
            if isinstance(step, Unreadable):
                logger.warning("skipped: %s", step.reason)
                failed.append((step.item, step.reason))
                progress(1)
            elif isinstance(step, Batch):
                running.append(_Results(step, model))
                if len(running) > 1:
                    collect()
            else:
                while running:
                    collect()
                if writing is not None:
                    writing.result()
                order = {item.id: place for place, item in enumerate(plan[step.part])}  # batches have mixed them
                shard.sort(key=lambda features: order[features.item.id])
                writing = writer.submit(write_shard, root, step.part, shard, failed)
                shard, failed = [], []
        if writing is not None:
            writing.result()


class _Results:
    """A batch that is being computed, and its way to the CPU, which does not wait for other batches."""

    def __init__(self, batch: Batch, model: FeatureExtractor) -> None:
        self.batch = batch
        extracted = model([image.pixels for image in batch.images], [image.boxes for image in batch.images])
        self._extracted = Extracted(_start_copies(extracted.maps), _start_copies(extracted.vectors))
        self._copied = None
        if model.pixel_mean.is_cuda:
            self._copied = torch.cuda.Event()
            self._copied.record()

    def per_item(self, model: FeatureExtractor) -> list[Features]:
        """Of each image its own, without padding."""
        if self._copied is not None:
            self._copied.synchronize()
        maps = self._extracted.maps
        counts = [len(image.boxes) for image in self.batch.images]
        vectors: dict[str, Sequence[Tensor]] = {
            name: values.split(counts) if name == "roi" else values.unbind()
            for name, values in self._extracted.vectors.items()
        }
        return [
            Features(
                image.item,
                image.height,
                image.width,
                {name: _own(cut(maps[name][i], image.pixels, model.strides[name])) for name in maps},
                model.strides,
                {name: _own(values[i]) for name, values in vectors.items()},
            )
            for i, image in enumerate(self.batch.images)
        ]


def _start_copies(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """To the CPU; from a GPU into pinned memory, without waiting."""
    return {
        name: torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)
        if tensor.is_cuda
        else tensor
        for name, tensor in tensors.items()
    }


def _own(tensor: Tensor) -> Tensor:
    """With memory of its own, so that a batch's is free again."""
    return tensor.clone(memory_format=torch.contiguous_format)
