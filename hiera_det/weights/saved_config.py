"""The config in the checkpoint that a run is resumed from."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from fvcore.common.config import CfgNode

from hiera_det.config import config_from
from hiera_det.weights.description import Description
from hiera_det.weights.read import read_checkpoint
from hiera_det.weights.source import last_checkpoint

__all__ = ["SavedConfig", "read_saved_config"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SavedConfig:
    """A checkpoint's file and the config in it."""

    path: Path
    config: CfgNode


def read_saved_config(folder: str | Path, defaults: CfgNode) -> SavedConfig | None:
    """Read the config in the last checkpoint of a run's folder.

    Args:
        folder: of the run.
        defaults: all keys of its task and backend.

    Returns:
        None: there is no checkpoint yet, or it is of version 0.1.0 and holds no config.

    Raises:
        FileNotFoundError, ValueError: it cannot be read, is of another task, or its config does not fit this version.
    """
    path = last_checkpoint(folder)
    if path is None:
        return None
    description = Description.from_plain(read_checkpoint(path), str(path))
    if description.config is None:
        logger.info("%s does not hold its config, as files of version 0.1.0: this command's is taken as it is", path)
        return None
    return SavedConfig(path, config_from(description.config, defaults=defaults, source=f"the config in {path}"))
