"""Names of classes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from torchvision.models import ResNet50_Weights
from torchvision.models.video import MViT_V2_S_Weights

__all__ = ["labels_of", "published_labels"]

logger = logging.getLogger(__name__)


def published_labels(num_classes: int, *, clips: bool) -> list[str]:
    """ImageNet-1k's names for 1000 classes of images, Kinetics-400's for 400 of clips, otherwise numbers; logged."""
    if (num_classes, clips) == (1000, False):
        logger.info("1000 classes of images are taken for ImageNet-1k's")
        return list(ResNet50_Weights.IMAGENET1K_V2.meta["categories"])
    if (num_classes, clips) == (400, True):
        logger.info("400 classes of clips are taken for Kinetics-400's")
        return list(MViT_V2_S_Weights.KINETICS400_V1.meta["categories"])
    logger.info("the weights do not name their %d classes: numbers stand for them", num_classes)
    return [str(index) for index in range(num_classes)]


def labels_of(config: Mapping[str, Any], num_classes: int, source: str) -> list[str] | None:
    """The ``id2label`` of a transformers config; None: it has none.

    Args:
        config: the content of ``config.json``.
        num_classes: of the weights.
        source: of the weights, for the message.

    Raises:
        ValueError: the labels are not those of ``num_classes`` classes.
    """
    labels = config.get("id2label")
    if not labels:
        return None
    if not isinstance(labels, dict) or set(labels) != {str(index) for index in range(num_classes)}:
        raise ValueError(
            f"id2label in the config.json of {source} has {len(labels)} entries; expected an object with a label for"
            f" each of the {num_classes} classes of the weights, '0' to '{num_classes - 1}'"
        )
    return [str(labels[str(index)]) for index in range(num_classes)]
