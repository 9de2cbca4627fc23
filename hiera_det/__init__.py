"""Hiera, the simple hierarchical vision transformer, for dense prediction."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hiera_det.api import evaluate, load, train
    from hiera_det.engine.options import RunOptions
    from hiera_det.hiera.backbone import HieraBackbone
    from hiera_det.hiera.mae import MaskedAutoencoderHiera
    from hiera_det.hiera.model import Hiera, build_hiera
    from hiera_det.weights.load import load_weights

__all__ = [
    "Hiera",
    "HieraBackbone",
    "MaskedAutoencoderHiera",
    "RunOptions",
    "build_hiera",
    "evaluate",
    "load",
    "load_weights",
    "train",
]
__version__ = "0.2.0.dev0"

_HOMES = {
    "Hiera": "hiera_det.hiera.model",
    "HieraBackbone": "hiera_det.hiera.backbone",
    "MaskedAutoencoderHiera": "hiera_det.hiera.mae",
    "RunOptions": "hiera_det.engine.options",
    "build_hiera": "hiera_det.hiera.model",
    "evaluate": "hiera_det.api",
    "load": "hiera_det.api",
    "load_weights": "hiera_det.weights.load",
    "train": "hiera_det.api",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is asked for: what needs no torch, such as AVA's evaluator, does not load it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
