"""Which data a run has read: their places in its log, their content in its config."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["record_data"]

logger = logging.getLogger(__name__)


def record_data(known: Sequence[Any], data: Mapping[str, tuple[str, str]], *, training: bool) -> list[list[str]]:
    """Log the data of a run, and compare them with those that its config tells of.

    Args:
        known: ``DATASETS.SHA256`` of the config: name and sum of each dataset.
        data: sum and place of each dataset, by its name.
        training: a model is trained, which other data would make another one; otherwise a difference is a warning.

    Returns:
        Name and sum of each dataset, for the config.

    Raises:
        ValueError: a training's data are not those that the config tells of.
    """
    before = dict(known)
    changed = []
    for name, (total, place) in data.items():
        logger.info("data %s: %s, SHA-256 %s", name, place, total)
        if before.get(name, total) != total:
            changed.append(f"{name} ({place})")
    if changed and training:
        raise ValueError(
            f"{', '.join(changed)}: not the data that this config was trained on, by their SHA-256, so that it would be"
            ' another run. Restore them; or give DATASETS.SHA256 "[]" on the command line to take them as they are'
        )
    if changed:
        logger.warning("%s: not the data that this model was evaluated on in training", ", ".join(changed))
    return [[name, total] for name, (total, _) in data.items()]
