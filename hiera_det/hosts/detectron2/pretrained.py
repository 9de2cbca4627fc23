"""``hiera://``: the original's weights for detectron2's own checkpointer, in YAML and LazyConfig alike.

detectron2 refuses the original's files (``model_state`` holds a dict) and knows nothing of position embeddings. Through
its ``PathManager``, ``hiera://mae_hiera_base_224.pth`` (a published file) and ``hiera:///data/my.pth`` (a local one)
are files that it loads by its name matching, with its own report.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from detectron2.utils.file_io import PathManager
from iopath.common.file_io import PathHandler, get_cache_dir

from hiera_det.files import written_aside
from hiera_det.hiera.checkpoints import local_file, original_encoder, read_checkpoint
from hiera_det.hiera.pos_embed import split_plain

__all__ = ["register_weights"]

UNIT = (8, 8)  # tokens of a mask unit, in every published model


class HieraWeights(PathHandler):
    """Turns a file of the original's into one for detectron2, with the embedding split for ``absolute_win``."""

    def _get_supported_prefixes(self) -> list[str]:
        return ["hiera:"]

    def _get_local_path(self, path: str, force: bool = False, **kwargs: Any) -> str:
        """The converted file, in iopath's cache.

        Raises:
            FileNotFoundError: the original's file cannot be had.
            ValueError: it is no file of the original's.
        """
        original = local_file(path)
        checkpoint = read_checkpoint(original)
        if "model_state" not in checkpoint:
            raise ValueError(
                f"{path} has the keys {sorted(map(str, checkpoint))[:8]}; expected 'model_state', the original Hiera's"
                " format. A detector's checkpoint needs no hiera://"
            )
        state, _ = original_encoder(checkpoint["model_state"])
        split_plain(state, UNIT)
        converted = Path(get_cache_dir()) / "hiera_det" / original.name
        converted.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(converted) as aside:
            torch.save({"model": state, "matching_heuristics": True}, aside)
        return str(converted)


def register_weights() -> None:
    """Make ``hiera://`` known to detectron2."""
    PathManager.register_handler(HieraWeights(), allow_override=True)
