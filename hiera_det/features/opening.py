"""The store that a config names for a split; only where it names one are the libraries that read it needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fvcore.common.config import CfgNode

if TYPE_CHECKING:
    from hiera_det.features.stored_maps import StoredMaps

__all__ = ["open_stored_maps"]


def open_stored_maps(
    cfg: CfgNode, split: str, stages: Sequence[str], *, inputs: Mapping[str, Any], needed: Mapping[str, Any]
) -> StoredMaps | None:
    """The maps of ``DATASETS.TRAIN_FEATURES`` or ``DATASETS.TEST_FEATURES``; None if the key is empty.

    Args:
        cfg: of the run.
        split: "TRAIN" or "TEST".
        stages: the maps that it needs.
        inputs: as of :class:`~hiera_det.features.stored_maps.StoredMaps`.
        needed: the same.

    Raises:
        FileNotFoundError: there is no store at that place.
        ValueError: pyarrow or safetensors is missing; or as :class:`~hiera_det.features.stored_maps.StoredMaps` says.
    """
    name = f"{split}_FEATURES"
    if not cfg.DATASETS[name]:
        return None
    try:
        from hiera_det.features.stored_maps import StoredMaps
    except ModuleNotFoundError as error:
        raise ValueError(f"DATASETS.{name}: to read a store, pip install 'hiera_det[features]' ({error})") from error
    return StoredMaps(f"DATASETS.{name}", cfg, stages, inputs=inputs, needed=needed)
