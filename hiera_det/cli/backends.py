"""Backends: the libraries that own heads, data and training. One YAML and one checkpoint serve both."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

__all__ = ["BACKENDS", "choose_backend", "load_detectron2"]

BACKENDS = ("torchvision", "detectron2")


def choose_backend(name: str) -> str:
    """Name the backend that is meant: for "auto" detectron2 where it is installed, otherwise torchvision."""
    if name != "auto":
        return name
    return "torchvision" if find_spec("detectron2") is None else "detectron2"


def load_detectron2() -> ModuleType:
    """Import what trains and evaluates on detectron2: it has ``defaults``, ``train`` and ``evaluate``.

    Raises:
        ValueError: detectron2 is not installed, or too old.
    """
    try:
        return import_module("hiera_det.detectron2.trainer")
    except ImportError as error:
        if error.name != "detectron2":
            raise
        raise ValueError(str(error)) from error
