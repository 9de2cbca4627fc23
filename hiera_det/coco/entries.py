"""Entries of a COCO JSON's lists: categories, images, annotations, each by itself."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from hiera_det.coco.masks import read_segmentation
from hiera_det.coco.records import ImageRecord, Instance, Segmentation, extent
from hiera_det.coco.values import FieldError, Values, shown

__all__ = ["EntryReader", "annotation_id", "as_id", "as_object"]

_FARTHEST = 1e5  # pixels; COCO's area ranges end at its square
_LONGEST_SIDE = 10**6  # pixels of an image


class EntryReader:
    """Reads one entry at a time; what is wrong with it is a FieldError.

    Args:
        mask_format: "polygon" or "bitmask" to read masks too, None for boxes only.

    Attributes:
        values: what was taken although it is odd.
    """

    def __init__(self, mask_format: str | None) -> None:
        self.mask_format = mask_format
        self.values = Values()

    def category(self, entry: Any, seen: Mapping[int, Any]) -> dict[str, Any]:
        """A category, with its id and a name."""
        number = self.values.integer(as_object(entry), "id")
        if number in seen:
            raise FieldError(f"category {number}: this id occurs twice")
        try:
            if type(entry.get("name")) is int:
                self.values.taken["class names that are numbers"] += 1
                return {**entry, "id": number, "name": str(entry["name"])}
            return {**entry, "id": number, "name": self.values.text(entry, "name")}
        except FieldError as error:
            raise FieldError(f"category {number}: {error}") from error

    def image_name(self, entry: Any, seen: Mapping[int, Any]) -> tuple[int, str]:
        """Id and file name of an image."""
        number = self.values.integer(as_object(entry), "id")
        try:
            if number in seen:
                raise FieldError("this id occurs twice")
            return number, self._file_name(entry)
        except FieldError as error:
            raise FieldError(f"image {number}: {error}") from error

    def image(self, entry: Any, seen: Mapping[int, ImageRecord]) -> ImageRecord:
        """An image without instances."""
        number, name = self.image_name(entry, seen)
        try:
            height, width = self.values.integer(entry, "height"), self.values.integer(entry, "width")
        except FieldError as error:
            raise FieldError(f"image {number}: {error}") from error
        if not (1 <= height <= _LONGEST_SIDE and 1 <= width <= _LONGEST_SIDE):
            raise FieldError(f"image {number}: height {height} and width {width}, expected 1 to {_LONGEST_SIDE}")
        return ImageRecord(number, name, height, width)

    def _file_name(self, entry: dict[str, Any]) -> str:
        """The name, or as detectron2 does for LVIS the end of the URL: ``train2017/000000391895.jpg``."""
        if not entry.get("file_name") and "coco_url" in entry:
            return "/".join(self.values.text(entry, "coco_url").split("/")[-2:])
        name = self.values.text(entry, "file_name")
        if not name or "\0" in name:
            raise FieldError(f"field 'file_name' is {shown(name)}, expected a path")
        if "\\" in name and os.sep == "/":
            self.values.taken["file names with backslashes, taken for slashes"] += 1
            return name.replace("\\", "/")
        return name

    def instance(self, entry: dict[str, Any], record: ImageRecord, label_of: Mapping[int, int]) -> Instance:
        """An annotation of an image."""
        category_id = self.values.integer(entry, "category_id")
        if category_id not in label_of:
            raise FieldError(f"category_id {category_id} is not among the categories")
        crowd = self._crowd(entry)
        segmentation = None
        if self.mask_format is not None and not (crowd and entry.get("segmentation") is None):
            form = "bitmask" if crowd else self.mask_format  # crowd regions are not trained on
            segmentation = read_segmentation(entry, record.height, record.width, self.values, mask_format=form)
        bbox = self._bbox(entry, segmentation)
        box = _clipped(bbox, record)
        if max(map(abs, (*bbox[:2], bbox[0] + bbox[2], bbox[1] + bbox[3]))) > _FARTHEST:
            self.values.taken["boxes that reach far beyond their image, clipped"] += 1
            bbox = (box[0], box[1], box[2] - box[0], box[3] - box[1])
        area = self._area(entry)
        return Instance(label_of[category_id], box, bbox, segmentation, crowd, area, annotation_id(entry))

    def _bbox(self, entry: dict[str, Any], mask: Segmentation | None) -> tuple[float, float, float, float]:
        value = entry.get("bbox")
        if (value is None or value == []) and (box := extent(mask)) is not None:
            self.values.taken["boxes that are missing, taken from the mask"] += 1
            return box
        if "bbox" not in entry:
            raise FieldError("field 'bbox' is missing")
        numbers = [self.values.number(it) for it in value] if isinstance(value, list) else []
        if len(numbers) != 4 or any(number != number for number in numbers):
            raise FieldError(f"field 'bbox' is {shown(value)}, expected 4 finite numbers: x, y, width, height")
        return numbers[0], numbers[1], numbers[2], numbers[3]

    def _crowd(self, entry: dict[str, Any]) -> bool:
        crowd = self.values.flag(entry, "iscrowd")
        if not crowd and self.values.flag(entry, "ignore"):
            text = "instances marked 'ignore', taken for crowd regions (the overlap of a crowd is measured otherwise)"
            self.values.taken[text] += 1
            return True
        return crowd

    def _area(self, entry: dict[str, Any]) -> float | None:
        """A number of at least 0; None: an evaluation computes it."""
        value = entry.get("area")
        area = self.values.number(value) if not isinstance(value, str) else -1.0
        if 0 <= area <= _FARTHEST**2:  # the metric leaves out what is larger
            return area
        if value is not None:
            self.values.taken["areas that are no numbers from 0 to 1e10, computed"] += 1
        return None


def as_id(entry: Any, key: str) -> int | None:
    """An id as it is read; None: there is none."""
    try:
        return Values().integer(as_object(entry), key)
    except FieldError:
        return None


def as_object(entry: Any) -> dict[str, Any]:
    """An entry of a list.

    Raises:
        FieldError: it is no object.
    """
    if not isinstance(entry, dict):
        raise FieldError(f"expected an object, got {shown(entry)}")
    return entry


def annotation_id(entry: dict[str, Any]) -> int | str | None:
    """An annotation's id, which only has to be unique: the metric numbers anew.

    Raises:
        FieldError: it is no number and no text.
    """
    value = entry.get("id")
    if value is None or (isinstance(value, int | str) and not isinstance(value, bool)):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise FieldError(f"field 'id' is {shown(value)}, expected int")


def _clipped(bbox: tuple[float, float, float, float], record: ImageRecord) -> tuple[float, float, float, float]:
    x, y, width, height = bbox
    x_end, y_end = (min(max(v, 0.0), side) for v, side in ((x + width, record.width), (y + height, record.height)))
    return min(max(x, 0.0), record.width), min(max(y, 0.0), record.height), x_end, y_end
