"""What a COCO JSON says, checked: images, their instances, classes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pycocotools.mask as mask_util

from hiera_det.data.class_names import distinct_names

__all__ = ["MIN_BOX_SIDE", "Annotations", "ImageRecord", "Instance", "Segmentation", "extent"]

MIN_BOX_SIDE = 1e-5  # pixels; a box that is not larger counts as empty, as in detectron2's filter_empty_instances

Segmentation = list[np.ndarray] | dict[str, Any]
"""Polygons (k, 2) in pixels, or a compressed RLE."""


def extent(mask: Segmentation | None) -> tuple[float, float, float, float] | None:
    """The tight box (x, y, width, height) of a mask, in pixels; None: there is no mask, or it is empty."""
    if not mask:
        return None
    if isinstance(mask, dict):
        x, y, width, height = mask_util.toBbox(mask).tolist()
    else:
        vertices = np.concatenate(mask)
        (x, y), (width, height) = vertices.min(axis=0).tolist(), np.ptp(vertices, axis=0).tolist()
    return (x, y, width, height) if width > 0 and height > 0 else None


@dataclass(slots=True)
class Instance:
    """One annotation.

    Attributes:
        label: 1..K.
        box: (x1, y1, x2, y2) in pixels, clipped to the image.
        bbox: (x, y, width, height) in pixels, as in the file.
        segmentation: of at least one polygon; None: masks are not read, or a crowd region has none.
        crowd: a region of many objects: not trained on, and ignored in an evaluation.
        area: in pixels, as in the file; None: the file has none.
        annotation_id: as in the file; None: it has none.
    """

    label: int
    box: tuple[float, float, float, float]
    bbox: tuple[float, float, float, float]
    segmentation: Segmentation | None = None
    crowd: bool = False
    area: float | None = None
    annotation_id: int | str | None = None

    @property
    def trainable(self) -> bool:
        """Whether it is no crowd region, and its box has an area inside the image."""
        return not self.crowd and min(self.box[2] - self.box[0], self.box[3] - self.box[1]) > MIN_BOX_SIDE


@dataclass(slots=True)
class ImageRecord:
    """One image and its instances, crowd regions included."""

    image_id: int
    file_name: str
    height: int
    width: int
    instances: list[Instance] = field(default_factory=list)

    def for_training(self, *, masks: bool = True) -> ImageRecord:
        """The image with the instances that are for training alone; without ``masks`` with their boxes alone."""
        kept = [instance for instance in self.instances if instance.trainable]
        if not masks:
            kept = [replace(instance, segmentation=None) for instance in kept]
        return ImageRecord(self.image_id, self.file_name, self.height, self.width, kept)


@dataclass
class Annotations:
    """A file: label i + 1 stands for ``category_ids[i]``; ids ascend, and so do the records' image ids.

    Attributes:
        source: the file, for messages.
        notes: what was taken although it is odd, or left out, with counts.
        rarity: of each class "r", "c" or "f" (LVIS' rare, common, frequent); None: the file does not say.
        image_extras: LVIS' ``neg_category_ids`` and ``not_exhaustive_category_ids`` by image id, where there are any.
    """

    source: str
    category_ids: list[int]
    class_names: list[str]
    records: list[ImageRecord]
    notes: list[str] = field(default_factory=list)
    rarity: list[str] | None = None
    image_extras: dict[int, dict[str, list[int]]] = field(default_factory=dict)

    def unique_names(self) -> list[str]:
        """Class names, with the id behind one that several classes have: ``boat (id 5)``."""
        return distinct_names(self.class_names, self.category_ids)
