"""``hiera://``: a Hiera's weights for detectron2's own checkpointer, in YAML and LazyConfig alike.

detectron2 refuses the original's files (``model_state`` holds a dict), and knows no other format of Hiera's nor its
position embeddings. Through its ``PathManager``, ``hiera://hiera_base_224.mae_in1k`` (a name of the zoo),
``hiera:///data/my.pth`` (a local file) or any other source of :func:`~hiera_det.weights.load.load_weights` is a file
that it loads by its name matching, with its own report. What of the file was dropped or changed before is logged here.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

import torch
from detectron2.utils.file_io import PathManager
from iopath.common.file_io import PathHandler, get_cache_dir
from torch import Tensor

from hiera_det.utils.files import atomic_write
from hiera_det.weights.formats import HieraWeights
from hiera_det.weights.hiera import read_hiera
from hiera_det.weights.report import LoadReport, show_licence
from hiera_det.weights.source import local_file
from hiera_det.weights.state_dicts import detectron2_checkpoint

__all__ = ["register_weights"]

logger = logging.getLogger(__name__)


class HieraHandler(PathHandler):
    """Turns a Hiera's file into one for detectron2: its embedding split for ``absolute_win``, SAM 2's neck renamed."""

    def _get_supported_prefixes(self) -> list[str]:
        return ["hiera:"]

    def _get_local_path(self, path: str, force: bool = False, **kwargs: Any) -> str:
        """The converted file, in iopath's cache.

        Raises:
            FileNotFoundError: the file cannot be had.
            ValueError: it holds no Hiera, or a whole detector.
        """
        original = local_file(path)
        weights = read_hiera(path)
        if weights.file_format == "detectron2":
            raise ValueError(f"{path} is a detector's checkpoint, which detectron2 reads itself: it needs no hiera://")
        name = f"{hashlib.sha256(str(original).encode()).hexdigest()[:12]}_{original.stem}.pth"
        converted = Path(get_cache_dir()) / "hiera_det" / name
        converted.parent.mkdir(parents=True, exist_ok=True)
        checkpoint = detectron2_checkpoint(weights)
        with atomic_write(converted) as temporary:
            torch.save(checkpoint, temporary)
        _log(path, weights, checkpoint["model"])
        return str(converted)


def _log(path: str, weights: HieraWeights, state: dict[str, Tensor]) -> None:
    report = LoadReport(path, weights.file_format, weights.licence, loaded=sorted(state))
    report.dropped = {**weights.dropped, "the classifier": list(weights.classifier)}
    if weights.decoder:
        report.dropped["the decoder of MAE"] = list(weights.decoder)
    for name, tensor in state.items():
        if name in weights.neck:
            continue
        if name not in weights.encoder:
            report.resized[name] = "split off the plain embedding: mean over its mask units"
        elif tensor.shape != weights.encoder[name].shape:
            report.resized[name] = f"{tuple(weights.encoder[name].shape)} to {tuple(tensor.shape)}"
    logger.info("%s", report)
    show_licence(report)


def register_weights() -> None:
    """Make ``hiera://`` known to detectron2."""
    PathManager.register_handler(HieraHandler(), allow_override=True)
