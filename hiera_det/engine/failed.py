"""The list of what a run could not read."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hiera_det.utils.files import write_csv

__all__ = ["write_failed"]

logger = logging.getLogger(__name__)


def write_failed(path: Path, kind: str, reasons: Mapping[Any, str], total: int, *, told: bool = False) -> None:
    """List what could not be read, and log it; without any there is no list, nor one of an earlier run.

    Args:
        path: a CSV ``<kind>,reason``; its folder is made.
        kind: what was to be read, such as "clip".
        reasons: by the name of each, in the order to list them in.
        total: how many were to be read.
        told: each of them is in the log already.
    """
    if not reasons:
        path.unlink(missing_ok=True)
        return
    for reason in () if told else reasons.values():
        logger.error("not evaluated: %s", reason)
    write_csv(path, (kind, "reason"), [(name, " ".join(why.split())) for name, why in reasons.items()])
    logger.error("%d of %d %ss could not be read; listed in %s", len(reasons), total, kind, path)
