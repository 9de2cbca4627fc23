"""Backends: the libraries that own heads, data and training. One YAML and one checkpoint serve both."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

__all__ = ["BACKENDS", "choose_backend", "load_backend"]

BACKENDS = {"torchvision": "hiera_det.detection.trainer", "detectron2": "hiera_det.detectron2.trainer"}


def choose_backend(name: str) -> str:
    """Name the backend that is meant: for "auto" detectron2 where it is installed, otherwise torchvision."""
    if name != "auto":
        return name
    return "torchvision" if find_spec("detectron2") is None else "detectron2"


def load_backend(name: str) -> ModuleType:
    """Import the module of a backend that trains and evaluates: it has ``defaults``, ``train`` and ``evaluate``.

    Raises:
        ValueError: the library is not installed, or too old.
    """
    try:
        return import_module(BACKENDS[name])
    except ImportError as error:
        if error.name != "detectron2":
            raise
        raise ValueError(str(error)) from error
