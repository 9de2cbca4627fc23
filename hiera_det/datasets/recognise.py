"""Which format a folder of data has, and its splits."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hiera_det.data.catalog import DatasetFiles
from hiera_det.data.folders import count_endings, files_in
from hiera_det.datasets.coco import coco_contents, read_coco
from hiera_det.datasets.csv_boxes import csv_files, read_csv
from hiera_det.datasets.files import ALL
from hiera_det.datasets.labelme import is_labelme, read_labelme
from hiera_det.datasets.masks import is_masks, read_masks
from hiera_det.datasets.split import Split, by_drawing, files_of
from hiera_det.datasets.voc import is_voc, read_voc
from hiera_det.datasets.yolo import read_yolo, yolo_file

__all__ = ["Dataset", "read_dataset"]

logger = logging.getLogger(__name__)

_HELD_OUT = 0.2  # of the images, where there are no splits
_EXPECTED = (
    "expected COCO's JSONs, YOLO's data.yaml, Pascal VOC's Annotations, LabelMe's JSONs, a CSV of boxes, or images/ and"
    " masks/"
)


@dataclass(frozen=True)
class Dataset:
    """A dataset as it was found.

    Attributes:
        path: the folder or file.
        file_format: "COCO", "YOLO", "Pascal VOC", "LabelMe", "CSV" or "masks".
        splits: of "train", "val", "test" those that there are; or "all" alone.
    """

    path: Path
    file_format: str
    splits: dict[str, Split]

    def for_run(self, output_dir: str | Path) -> tuple[DatasetFiles, DatasetFiles]:
        """Give what to train on, and what to evaluate on meanwhile: val, or else test, or else a share that is drawn.

        Args:
            output_dir: of the run: annotations that are in no COCO JSON are written below it. Their names have a sum of
                what they hold, so that nothing that is there changes.

        Raises:
            OSError: the folder cannot be written.
            ValueError: there is nothing to train on.
        """
        training, held_out = self._for_run()
        return files_of(training, output_dir), files_of(held_out, output_dir)

    def for_report(self, output_dir: str | Path) -> DatasetFiles:
        """Give what a trained model is judged by: test, or else val, or else the share that :meth:`for_run` draws.

        Arguments and errors are those of :meth:`for_run`.
        """
        found = self.splits.get("test", self.splits.get("val"))
        return files_of(self._for_run()[1] if found is None else found, output_dir)

    def files(self, output_dir: str | Path) -> dict[str, DatasetFiles]:
        """Give every split by its name; arguments and errors are those of :meth:`for_run`."""
        return {name: files_of(its, output_dir) for name, its in self.splits.items()}

    def without_masks(self, overrides: Sequence[Any]) -> list[Any]:
        """Give the config key and value by which a detector has no masks, where the data have none.

        Args:
            overrides: keys and values that are given, which hold.
        """
        if "MODEL.MASK_ON" in overrides[::2] or any(its.has_masks for its in self.splits.values()):
            return []
        logger.info("%s has boxes alone, so MODEL.MASK_ON is False", self.path)
        return ["MODEL.MASK_ON", False]

    def __str__(self) -> str:
        """A line for each split."""
        lines = [f"{self.path}: {self.file_format}"]
        for name, its in self.splits.items():
            masks = "with masks" if its.has_masks else "boxes alone"
            lines.append(f"  {name}: {len(its.images)} images, {len(its.annotations)} objects, {masks}")
            lines += [f"    {count} {what}" for what, count in sorted(its.notes.items())]
        return "\n".join(lines)

    def _for_run(self) -> tuple[Split, Split]:
        splits = self.splits
        whole = splits.get("train", splits.get(ALL))
        if whole is None:
            raise ValueError(f"{self.path} has nothing to train on: there are only {', '.join(splits)}")
        held_out = splits.get("val", splits.get("test"))
        if held_out is not None:
            return whole, held_out
        training, drawn = by_drawing(whole, _HELD_OUT)
        counts = len(training.images), len(drawn.images)
        logger.info("%s is not split: %d images are for training, %d drawn for evaluation", self.path, *counts)
        return training, drawn


def read_dataset(path: str | Path) -> Dataset:
    """Recognise and read a dataset.

    Args:
        path: a folder, or what names the data in it: a COCO JSON, a ``data.yaml``, a CSV, Pascal VOC's ``Annotations``.

    Raises:
        FileNotFoundError: there is nothing.
        OSError: a file cannot be read.
        ValueError: it is of no known format, or of several, or not as its format expects.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no data at {path}; expected a folder, a COCO JSON, a data.yaml or a CSV")
    found = _candidates(path)
    if len(found) != 1:
        raise ValueError(_why_not(path, list(found)))
    ((file_format, (reader, *arguments)),) = found.items()
    splits = reader(*arguments)
    if not any(its.images for its in splits.values()):
        raise ValueError(f"{path} ({file_format}) has no images")
    for name, its in splits.items():
        its.name = name
    return Dataset(path, file_format, {name: its for name, its in splits.items() if its.images})


def _candidates(path: Path) -> dict[str, tuple[Any, ...]]:
    """The formats that a path may have, each with its reader and what it takes."""
    if path.is_dir() and path.name == "Annotations":  # Pascal VOC's, where there is more in its folder
        return {"Pascal VOC": (read_voc, path.parent)}
    root = path if path.is_dir() else path.parent
    found: dict[str, tuple[Any, ...]] = {}
    if contents := coco_contents(path):
        found["COCO"] = (read_coco, contents, root)
    if (file := yolo_file(path)) is not None:
        found["YOLO"] = (read_yolo, file)
    if files := csv_files(path):
        found["CSV"] = (read_csv, files, root)
    if path.is_dir():
        others = {
            "Pascal VOC": (is_voc, read_voc),
            "LabelMe": (is_labelme, read_labelme),
            "masks": (is_masks, read_masks),
        }
        found |= {name: (reader, path) for name, (fits, reader) in others.items() if fits(path)}
    return found


def _why_not(path: Path, found: list[str]) -> str:
    if found:
        return f"{path} has data of several formats, {' and '.join(found)}: name the file or the folder that is meant"
    if path.is_file():
        return f"{path} is no dataset; {_EXPECTED}"
    inside = [f"{its.name}/" for its in sorted(path.iterdir()) if its.is_dir()][:6]
    return f"{path} is of no known format; {_EXPECTED}; it holds {', '.join([*inside, count_endings(files_in(path))])}"
