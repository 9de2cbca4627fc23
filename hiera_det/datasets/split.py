"""A split of a dataset: images, their boxes and masks, as a COCO JSON has them."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hiera_det.data.catalog import DatasetFiles
from hiera_det.utils.files import atomic_write, make_folder

__all__ = ["Box", "Split", "by_drawing", "files_of", "with_classes"]

logger = logging.getLogger(__name__)

Box = tuple[float, float, float, float]

_FOLDER = "data"  # in the folder of a run
_FLAT = "boxes and masks without area, left out"


@dataclass
class Split:
    """Images with their instances.

    Attributes:
        image_root: the folder that file names start from.
        name: "train", "val", "test", or "all" of a dataset without splits.
        images: entries of a COCO JSON.
        annotations: likewise; of a reader that finds classes by and by, with their names in place of ``category_id``.
        categories: likewise.
        notes: what was left out or changed, by how often.
        json_file: a COCO JSON that holds all this already.
    """

    image_root: Path
    name: str = ""
    images: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    categories: list[dict[str, Any]] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    json_file: Path | None = None

    def add_image(self, path: Path, size: tuple[int, int]) -> int:
        """Add an image below `image_root` by its width and height, and give its id."""
        number = len(self.images) + 1
        name = path.relative_to(self.image_root).as_posix()
        self.images.append({"id": number, "file_name": name, "width": size[0], "height": size[1]})
        return number

    def add_box(self, image_id: int, name: str, box: Box, *, crowd: bool = False) -> None:
        """Add an instance without a mask; corners x1, y1, x2, y2 in pixels. One without area is left out."""
        self._add(image_id, name, box, {}, crowd=crowd)

    def add_polygons(self, image_id: int, name: str, polygons: Sequence[Sequence[float]]) -> None:
        """Add an instance by the outlines of its parts, (x, y, x, y, ...) each in pixels, at least three points."""
        parts = [[float(value) for value in polygon] for polygon in polygons if len(polygon) >= 6]
        x, y = ([value for part in parts for value in part[axis::2]] for axis in (0, 1))
        if not parts:
            self.notes[_FLAT] += 1
            return
        self._add(image_id, name, (min(x), min(y), max(x), max(y)), {"segmentation": parts})

    def add_mask(self, image_id: int, name: str, mask: np.ndarray) -> None:
        """Add an instance by its pixels, (H, W) of bool."""
        from pycocotools import mask as rle

        encoded = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
        x, y, width, height = (float(value) for value in rle.toBbox(encoded))
        counts = {"size": list(mask.shape), "counts": encoded["counts"].decode("ascii")}
        self._add(image_id, name, (x, y, x + width, y + height), {"segmentation": counts, "area": int(mask.sum())})

    def _add(self, image_id: int, name: str, box: Box, more: dict[str, Any], *, crowd: bool = False) -> None:
        x1, y1, x2, y2 = box
        if x2 <= x1 or y2 <= y1:
            self.notes[_FLAT] += 1
            return
        bbox = [round(value, 3) for value in (x1, y1, x2 - x1, y2 - y1)]
        entry = {"id": len(self.annotations) + 1, "image_id": image_id, "category_id": name, "bbox": bbox}
        area = {} if isinstance(more.get("segmentation"), list) else {"area": round((x2 - x1) * (y2 - y1), 3)}
        self.annotations.append({**entry, "iscrowd": int(crowd), **area, **more})

    @property
    def has_masks(self) -> bool:
        """Whether an instance has one."""
        return any(entry.get("segmentation") for entry in self.annotations if isinstance(entry, dict))

    def content(self) -> dict[str, Any]:
        """Give the COCO JSON."""
        return {"images": self.images, "annotations": self.annotations, "categories": self.categories}

    def of_images(self, images: Iterable[dict[str, Any]], name: str) -> Split:
        """Give the part of some of the images, a split of that name."""
        kept = list(images)
        ids = {entry["id"] for entry in kept}
        annotations = [entry for entry in self.annotations if entry["image_id"] in ids]
        return Split(self.image_root, name, kept, annotations, self.categories, self.notes)


def with_classes(splits: dict[str, Split], names: Iterable[str] | None = None) -> dict[str, Split]:
    """Number the classes of all splits alike, in place of their names: from 1, in order.

    Args:
        splits: by name; changed in place.
        names: all classes; None: those that occur, by the alphabet.
    """
    found = {entry["category_id"] for its in splits.values() for entry in its.annotations}
    numbers = {name: number for number, name in enumerate(sorted(found) if names is None else names, 1)}
    for its in splits.values():
        its.categories = [{"id": number, "name": name} for name, number in numbers.items()]
        for entry in its.annotations:
            entry["category_id"] = numbers[entry["category_id"]]
    return splits


def by_drawing(split: Split, share: float, seed: int = 0) -> tuple[Split, Split]:
    """Split images in two, for training and for evaluation, by a hash of their file names: always the same.

    Args:
        split: of all images.
        share: of the images that are for evaluation, from 0 to 1; at least one is.
        seed: another one gives another split.

    Raises:
        ValueError: there are fewer than two images.
    """
    if len(split.images) < 2:
        raise ValueError(f"{split.image_root}: {len(split.images)} images cannot be split for training and evaluation")

    def place(entry: dict[str, Any]) -> str:
        return hashlib.sha256(f"{seed}/{entry['file_name']}".encode(errors="surrogatepass")).hexdigest()

    drawn = sorted(split.images, key=place)[: max(1, round(share * len(split.images)))]
    held_out = {entry["id"] for entry in drawn}
    training = [entry for entry in split.images if entry["id"] not in held_out]
    evaluation = [entry for entry in split.images if entry["id"] in held_out]
    return split.of_images(training, "train"), split.of_images(evaluation, "val")


def files_of(split: Split, output_dir: str | Path) -> DatasetFiles:
    """Give a split as a run takes it: a COCO JSON, in the run's folder where there is none yet.

    Args:
        split: any.
        output_dir: of the run. The JSON's name has a sum of what it holds: nothing that is there changes.

    Raises:
        OSError: the folder cannot be written.
    """
    if split.json_file is not None:
        return DatasetFiles(split.json_file.stem, split.json_file, split.image_root)
    text = json.dumps(split.content(), separators=(",", ":"))
    folder = Path(output_dir) / _FOLDER
    path = folder / f"{split.name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.json"
    if not path.exists():
        make_folder(folder, "OUTPUT_DIR/data")
        with atomic_write(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        logger.info("wrote %s", path)
    return DatasetFiles(split.name, path, split.image_root)
