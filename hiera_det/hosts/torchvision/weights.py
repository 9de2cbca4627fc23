"""`MODEL.WEIGHTS` into this host's detector: files have detectron2's names, modules torchvision's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from hiera_det.hosts.torchvision.names import from_detectron2, to_detectron2
from hiera_det.weights import check_same_model, read_trained, read_weights

__all__ = ["convert_detector", "load_trained", "load_weights"]


def load_weights(model: nn.Module, source: str) -> None:
    """Load what :func:`~hiera_det.weights.read_weights` finds."""
    own = to_detectron2(model.state_dict())
    model.load_state_dict(from_detectron2(read_weights(source, model, own)))


def load_trained(model: nn.Module, source: str) -> dict[str, Any]:
    """Load what :func:`~hiera_det.weights.read_trained` finds, and give the checkpoint."""
    checkpoint = read_trained(source, to_detectron2(model.state_dict()))
    model.load_state_dict(from_detectron2(checkpoint["model"]))
    return checkpoint


def convert_detector(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """A detector's state dict with detectron2's names, under this host's names.

    Args:
        state: with detectron2's names.
        expected: the state dict that it is for, with this host's names.
        source: where the state is from, for the message.

    Raises:
        ValueError: names or shapes differ; the message lists all of them, under detectron2's names.
    """
    check_same_model(state, to_detectron2(expected), source)
    return from_detectron2(state)
