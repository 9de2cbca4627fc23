"""Names of classes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from torchvision.models import ResNet50_Weights
from torchvision.models.video import MViT_V2_S_Weights

from hiera_det.data.class_names import check_encodable

__all__ = ["labels_of"]

logger = logging.getLogger(__name__)

_PUBLISHED = {(1000, False): ResNet50_Weights.IMAGENET1K_V2, (400, True): MViT_V2_S_Weights.KINETICS400_V1}


def labels_of(config: Mapping[str, Any], num_classes: int, source: str, *, clips: bool) -> list[str]:
    """The ``id2label`` of a transformers config; without it ImageNet-1k's or Kinetics-400's names, or else numbers.

    Args:
        config: the content of ``config.json``.
        num_classes: of the weights: 1000 of images are taken for ImageNet-1k's, 400 of clips for Kinetics-400's.
        source: of the weights, for the message.
        clips: whether the classes are of clips.

    Raises:
        ValueError: the labels are not those of ``num_classes`` classes.
    """
    if labels := config.get("id2label"):
        if not isinstance(labels, dict) or set(labels) != {str(index) for index in range(num_classes)}:
            there = f"has {len(labels)} entries" if isinstance(labels, dict | list) else f"is {labels!r:.80}"
            raise ValueError(
                f"id2label in the config.json of {source} {there}; expected an object with a label"
                f" for each of the {num_classes} classes of the weights, '0' to '{num_classes - 1}'"
            )
        names = [str(labels[str(index)]) for index in range(num_classes)]
        for index, name in enumerate(names):
            check_encodable(name, f"id2label {index} in the config.json of {source}")
        return names
    published = _PUBLISHED.get((num_classes, clips))
    logger.info("the weights do not name their classes; taken are %s", published.name if published else "numbers")
    return list(published.meta["categories"]) if published else [str(index) for index in range(num_classes)]
