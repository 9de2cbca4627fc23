"""Training and evaluation from maps in a store, of ``DATASETS.TRAIN_FEATURES`` and ``DATASETS.TEST_FEATURES``.

A store for it is made of the dataset's JSON, so that its ids are the images' ids, with the run's ``MODEL.HIERA``
(``NORM`` empty), mean, standard deviation and weights, ``INPUT.RESIZE`` "shortest_edge" and the run's sizes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch
from fvcore.common.config import CfgNode

from hiera_det.data.coco import CocoDataset
from hiera_det.features.opening import open_stored_maps

if TYPE_CHECKING:
    from hiera_det.features.stored_maps import StoredMaps

__all__ = ["compare_maps", "open_maps"]


class _Data(Protocol):
    @property
    def train_dataset(self) -> CocoDataset: ...
    @property
    def test_dataset(self) -> CocoDataset | None: ...


def open_maps(cfg: CfgNode, split: str) -> StoredMaps | None:
    """The store of a split, "TRAIN" or "TEST"; None if the config names none.

    Raises:
        FileNotFoundError, ValueError: as :func:`~hiera_det.features.opening.open_stored_maps` says.
    """
    needed: dict[str, Any] = {}
    side, longest = cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST
    if split == "TRAIN":
        sides, longest = cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MAX_SIZE_TRAIN
        side = next(iter(sides), 0)
        one_size = sides[:1] * len(sides)
        needed = {"INPUT.RANDOM_FLIP": "none", "INPUT.CROP.ENABLED": False, "INPUT.MIN_SIZE_TRAIN": one_size}
    inputs = {"INPUT.FORMAT": cfg.INPUT.FORMAT, "INPUT.RESIZE": "shortest_edge" if side else "none"}
    if side:  # 0: images are not resized
        inputs |= {"INPUT.MIN_SIZE_TEST": side, "INPUT.MAX_SIZE_TEST": longest}
    return open_stored_maps(cfg, split, cfg.MODEL.FPN.IN_FEATURES, inputs=inputs, needed=needed)


@torch.no_grad()
def compare_maps(data: _Data, model: Any, split: str) -> None:
    """Compare one item of a split's store, if it has one, with what the detector's backbone computes of the image.

    Raises:
        ValueError: they differ.
    """
    dataset = data.train_dataset if split == "TRAIN" else data.test_dataset
    if dataset is None or dataset.maps is None:
        return
    image, target = dataset[(0, 0)]  # as in training: the first that can be read
    computed = model.backbone.bottom_up.stage_maps(model.batching([image]).tensors)
    own = {name: feature[0] for name, feature in computed.items()}
    dataset.maps.compare(str(target["image_id"]), target["maps"], own)
