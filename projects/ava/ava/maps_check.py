"""One clip of a store of maps against the backbone, before a run believes the rest."""

from __future__ import annotations

import copy

import torch

from ava.data.dataset import AvaDataset
from ava.model import ActionDetector

__all__ = ["compare_maps"]


@torch.no_grad()
def compare_maps(model: ActionDetector, dataset: AvaDataset) -> None:
    """Compare one clip of a dataset's store, if it has one, with what the model's backbone computes of the video.

    Raises:
        ValueError: they differ, or the video cannot be read.
    """
    if dataset.stored is None:
        return
    sample = dataset[(0, 0)]  # as in training: the first that can be read, then one at random
    without = copy.copy(dataset)
    without.stored = None
    clip = without[sample["index"]]["clip"].to(model.pixel_mean.device)  # (3, T, H, W)
    computed = model.backbone.stage_maps(model.normalise(clip[None]))
    own = {name: feature[0] for name, feature in computed.items()}
    dataset.stored.maps.compare(str(dataset.stored.ids[sample["index"]]), sample["maps"], own)
