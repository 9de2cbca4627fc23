"""Hosts: the frameworks that own heads, data and training. A host knows nothing of another."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

__all__ = ["HOSTS", "HostUnavailable", "choose_host", "load_host"]

HOSTS = ("torchvision", "detectron2")


class HostUnavailable(ImportError):
    """A host's framework is not installed, or too old."""


def choose_host(name: str) -> str:
    """The host that is meant: for "auto" detectron2 where it is installed, otherwise torchvision."""
    if name != "auto":
        return name
    return "torchvision" if find_spec("detectron2") is None else "detectron2"


def load_host(name: str) -> ModuleType:
    """The module of a host that trains and evaluates: it has ``get_cfg``, ``train`` and ``evaluate``.

    Raises:
        ValueError: the framework is not installed, or too old.
    """
    try:
        return import_module(f"hiera_det.hosts.{name}.trainer")
    except HostUnavailable as error:
        raise ValueError(str(error)) from error
