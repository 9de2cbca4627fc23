"""Writing a generated dataset: complete or not there, and once."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hiera_det.utils.files import atomic_write, remove_leftovers
from hiera_det.utils.json_text import read_json

__all__ = ["GeneratedSpec", "write_generated"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GeneratedSpec:
    """What identifies a generated dataset: numbers of items, side in pixels, seed, version of the drawing."""

    num_train: int
    num_val: int
    image_size: int
    seed: int
    version: int = 1


def write_generated(root: Path, spec: GeneratedSpec, record: str, name: str, fill: Callable[[Path], None]) -> bool:
    """Write a dataset to a folder, under a temporary name until it is complete.

    Args:
        root: the folder; it must be new or empty, or hold this dataset, which is then logged and kept.
        spec: of the dataset.
        record: name of the file in the folder that keeps the spec.
        name: of the dataset, for messages.
        fill: writes the dataset into a folder that is there.

    Returns:
        Whether it was written; False: it is there already.

    Raises:
        FileExistsError: ``root`` holds something else.
        OSError: it cannot be written to.
    """
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        if _spec_at(root / record) == asdict(spec):
            logger.info("the %s is there already: %s", name, root)
            return False
        raise FileExistsError(
            f"{root} is not empty and does not hold this {name} ({spec});"
            " choose another folder or remove this one first"
        )
    root.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(root.parent)
    with atomic_write(root) as folder:
        folder.mkdir()
        fill(folder)
        (folder / record).write_text(json.dumps(asdict(spec)), encoding="utf-8")
    return True


def _spec_at(path: Path) -> Any:
    try:
        return read_json(path)
    except (OSError, ValueError):
        return None
