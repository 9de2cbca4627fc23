"""Reading checkpoint files: where they are, what they hold, and the original's format.

Formats (facebookresearch/hiera): `{"model_state": {...}}`, with the keys of `Hiera`; files of the masked autoencoder
(MAE) also hold a decoder, and name the last norm `encoder_norm`.
"""

from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from iopath.common.file_io import HTTPURLHandler, PathManager
from torch import Tensor

__all__ = ["local_file", "original_encoder", "read_checkpoint"]

logger = logging.getLogger(__name__)

PUBLISHED = "https://dl.fbaipublicfiles.com/hiera/"
MAE_PARTS = ("decoder_", "mask_token", "multi_scale_fusion_heads.")
CLASSIFIER_PARTS = ("norm.", "encoder_norm.", "head.")


def local_file(source: str) -> Path:
    """The local file of a path or a URL; what has to be downloaded is so once, to iopath's cache.

    Args:
        source: a path, an http(s) URL, or as detectron2's checkpointer takes it, ``hiera://NAME`` (a file that the
            original published) and ``hiera:///path``.

    Raises:
        FileNotFoundError: there is no such file, or the URL cannot be had; the message says what to do.
    """
    if source.startswith("hiera:"):  # urllib makes "hiera:/path" of "hiera:///path"
        name = source.removeprefix("hiera:").removeprefix("//")
        source = name if "/" in name else PUBLISHED + name
    if urlparse(source).scheme in ("http", "https"):
        paths = PathManager()
        paths.register_handler(HTTPURLHandler())
        try:
            return Path(paths.get_local_path(source))
        except OSError as error:
            name = Path(urlparse(source).path).name
            raise FileNotFoundError(
                f"{source} cannot be downloaded ({error}). Fetch it by hand (`curl -LO {source}`) and name the file: "
                f'`MODEL.WEIGHTS {name}`; or train from scratch: `MODEL.WEIGHTS ""`'
            ) from error
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f'no weights file at {source}; `MODEL.WEIGHTS ""` means from scratch')
    return path


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint on the CPU, without executing anything in it (`weights_only=True`).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is truncated, is no checkpoint, or holds more than tensors and plain values.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError, ValueError, KeyError) as error:
        raise ValueError(
            f"{path} ({path.stat().st_size} bytes) cannot be read as a checkpoint of tensors: it is truncated, or not "
            f"written by torch.save, or holds other objects ({str(error).splitlines()[0] if str(error) else error!r})"
        ) from error
    if not isinstance(checkpoint, dict):
        raise ValueError(f"{path} holds a {type(checkpoint).__name__}, expected a dict with 'model' or 'model_state'")
    for key in {"model", "model_state"} & set(checkpoint):
        if not isinstance(checkpoint[key], dict):
            raise ValueError(f"{path}: {key!r} is a {type(checkpoint[key]).__name__}, expected a dict of tensors")
    return checkpoint


def original_encoder(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Keep a `HieraEncoder`'s part of the original's `model_state`.

    Returns:
        The encoder's state dict, and the keys that were dropped: classifier, last norm and MAE decoder.
    """
    other = tuple(key for key in state if key.startswith((*MAE_PARTS, *CLASSIFIER_PARTS)))
    return {key: value for key, value in state.items() if key not in other}, list(other)
