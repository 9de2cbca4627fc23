"""COCO instance annotations: from a JSON file to checked records, one per image."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from hiera_det.data.class_names import check_category_ids, check_class_names
from hiera_det.data.segmentation import read_segmentation, report_maskless

__all__ = ["MIN_BOX_SIDE", "Annotations", "ImageRecord", "read_annotations"]

logger = logging.getLogger(__name__)

MIN_BOX_SIDE = 1e-5  # pixels; a box that is not larger counts as empty, as in detectron2's filter_empty_instances


@dataclass
class ImageRecord:
    """One image and its instances without the crowd regions.

    Attributes:
        boxes: (x1, y1, x2, y2) in pixels, clipped to the image.
        labels: 1..K.
        segmentations: for each instance a list of polygons (k, 2) in pixels, or a compressed RLE; empty
            without masks.
    """

    image_id: int
    file_name: str
    height: int
    width: int
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    segmentations: list[list[np.ndarray] | dict[str, Any]] = field(default_factory=list)


@dataclass
class Annotations:
    """A whole file: label i + 1 stands for ``category_ids[i]``; records ascend by image id."""

    category_ids: list[int]
    class_names: list[str]
    records: list[ImageRecord]


def read_annotations(json_file: Path, *, mask_format: str | None) -> Annotations:
    """Read and check a COCO instances file.

    As in detectron2 (``detectron2/data/datasets/coco.py``), crowd regions and polygons of less than three points are
    left out, and so are instances without a usable polygon. Boxes are clipped to the image; instances whose box is then
    empty are left out. What is left out is counted in the log.

    Args:
        json_file: the file.
        mask_format: "polygon" or "bitmask" to read the masks too, None for boxes only.

    Raises:
        ValueError: the file is not as expected; the message names the file, the field, and the entry's id. Or masks
            are to be read and no instance has one.
    """
    reader = _Reader(json_file, mask_format)
    content = reader.load()
    names = reader.categories(content["categories"])
    records = reader.images(content["images"])
    label_of = {category_id: label for label, category_id in enumerate(sorted(names), start=1)}
    reader.annotations(content["annotations"], records, label_of)
    category_ids = sorted(names)
    return Annotations(
        category_ids,
        [names[category_id] for category_id in category_ids],
        [records[k] for k in sorted(records)],
    )


class _Reader:
    """Reads one file; every check that fails raises a ValueError that begins with the file's name."""

    def __init__(self, json_file: Path, mask_format: str | None) -> None:
        self.json_file = json_file
        self.mask_format = mask_format

    def fail(self, text: str) -> NoReturn:
        raise ValueError(f"{self.json_file}: {text}")

    def load(self) -> dict[str, Any]:
        try:
            content = json.loads(self.json_file.read_bytes())
        except ValueError as error:
            raise ValueError(f"{self.json_file}: not a JSON file ({error})") from error
        if not isinstance(content, dict):
            self.fail(f"expected an object with images, annotations, categories; got a {type(content).__name__}")
        for key in ("images", "annotations", "categories"):
            if not isinstance(content.get(key), list):
                got = f"{key!r} is a {type(content[key]).__name__}" if key in content else f"there is no {key!r}"
                note = "; a test set without annotations cannot be trained on or evaluated"
                self.fail(f"{got}, expected a list{note if key == 'annotations' else ''}")
        return content

    def value(self, entry: Any, key: str, kind: type | tuple[type, ...], where: str) -> Any:
        if not isinstance(entry, dict):
            self.fail(f"{where}: expected an object, got {entry!r}")
        if key not in entry:
            self.fail(f"{where}: field {key!r} is missing")
        if not isinstance(entry[key], kind) or isinstance(entry[key], bool):
            wanted = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
            self.fail(f"{where}: field {key!r} is {entry[key]!r}, expected {wanted}")
        return entry[key]

    def entry_id(self, entry: Any, kind: str, index: int) -> int:
        return self.value(entry, "id", int, f"{kind} number {index}")

    def categories(self, entries: list[Any]) -> dict[int, str]:
        names: dict[int, str] = {}
        for index, entry in enumerate(entries):
            category_id = self.entry_id(entry, "category", index)
            if category_id in names:
                self.fail(f"category {category_id}: this id occurs twice")
            names[category_id] = self.value(entry, "name", str, f"category {category_id}")
        if not names:
            self.fail("'categories' is empty, expected at least one")
        check_category_ids(
            list(names), check_class_names(list(names.values()), str(self.json_file)), str(self.json_file)
        )
        return names

    def images(self, entries: list[Any]) -> dict[int, ImageRecord]:
        records: dict[int, ImageRecord] = {}
        for index, entry in enumerate(entries):
            image_id = self.entry_id(entry, "image", index)
            where = f"image {image_id}"
            if image_id in records:
                self.fail(f"{where}: this id occurs twice")
            height, width = self.value(entry, "height", int, where), self.value(entry, "width", int, where)
            if height < 1 or width < 1:
                self.fail(f"{where}: height {height} and width {width}, expected at least 1")
            records[image_id] = ImageRecord(image_id, self.value(entry, "file_name", str, where), height, width)
        if not records:
            self.fail("'images' is empty, expected at least one")
        return records

    def annotations(self, entries: list[Any], records: dict[int, ImageRecord], label_of: dict[int, int]) -> None:
        """Check all annotations and add those that are for training to their images' records."""
        seen: set[int] = set()
        empty_boxes = empty_masks = 0
        for index, entry in enumerate(entries):
            where = f"annotation {self.entry_id(entry, 'annotation', index)}"
            if entry["id"] in seen:
                self.fail(f"{where}: this id occurs twice")
            seen.add(entry["id"])
            image_id = self.value(entry, "image_id", int, where)
            if image_id not in records:
                self.fail(f"{where}: image_id {image_id} is not among the images")
            category_id = self.value(entry, "category_id", int, where)
            if category_id not in label_of:
                self.fail(f"{where}: category_id {category_id} is not among the categories")
            record = records[image_id]
            box = self.box(entry, record, where)
            if self.is_crowd(entry, where):
                continue
            segmentation = None
            if self.mask_format is not None:
                size, in_file = (record.height, record.width), f"{self.json_file}: {where}"
                segmentation = read_segmentation(entry, size, in_file, mask_format=self.mask_format)
            if segmentation == []:
                empty_masks += 1
            elif min(box[2] - box[0], box[3] - box[1]) <= MIN_BOX_SIDE:
                empty_boxes += 1
            else:
                record.boxes.append(box)
                record.labels.append(label_of[category_id])
                if segmentation is not None:
                    record.segmentations.append(segmentation)
        if empty_boxes:
            text = "%s: left out %d instances whose box has no area inside the image"
            logger.warning(text, self.json_file, empty_boxes)
        report_maskless(self.json_file, empty_masks, kept=sum(len(record.labels) for record in records.values()))

    def is_crowd(self, entry: dict[str, Any], where: str) -> bool:
        if entry.get("ignore", 0):
            self.fail(f"{where}: 'ignore' is not supported, remove the annotation or mark it 'iscrowd'")
        crowd = entry.get("iscrowd", 0)
        if crowd not in (0, 1):
            self.fail(f"{where}: field 'iscrowd' is {crowd!r}, expected 0 or 1")
        return bool(crowd)

    def box(self, entry: dict[str, Any], record: ImageRecord, where: str) -> tuple[float, float, float, float]:
        xywh = self.value(entry, "bbox", list, where)
        if len(xywh) != 4 or not all(isinstance(v, (int, float)) and math.isfinite(v) for v in xywh):
            self.fail(f"{where}: field 'bbox' is {xywh!r}, expected 4 finite numbers: x, y, width, height")
        x, y, width, height = xywh
        x_end, y_end = (min(max(v, 0.0), side) for v, side in ((x + width, record.width), (y + height, record.height)))
        return min(max(x, 0.0), record.width), min(max(y, 0.0), record.height), x_end, y_end
