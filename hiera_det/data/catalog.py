"""Dataset names and the files behind them, in detectron2's layout under ``$DETECTRON2_DATASETS``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hiera_det.utils.files import file_sum

__all__ = ["LAYOUT", "DatasetFiles", "custom_dataset", "dataset_keys", "own_datasets", "resolve_dataset", "sums_of"]

# Name: (annotations, images), relative to $DETECTRON2_DATASETS.
LAYOUT = {
    "coco_2017_train": ("coco/annotations/instances_train2017.json", "coco/train2017"),
    "coco_2017_val": ("coco/annotations/instances_val2017.json", "coco/val2017"),
    "shapes_train": ("shapes/annotations/instances_train.json", "shapes/train"),
    "shapes_val": ("shapes/annotations/instances_val.json", "shapes/val"),
}


@dataclass(frozen=True)
class DatasetFiles:
    """A COCO-format dataset on disk: a name, its JSON, and the folder that its file names start from."""

    name: str
    json_file: Path
    image_root: Path


def resolve_dataset(name: str, own: Sequence[Any] = ()) -> DatasetFiles:
    """Find the files of a dataset by its name.

    Args:
        name: ``coco_2017_train``, ``coco_2017_val``, ``shapes_train``, ``shapes_val``, or of one's own data.
        own: ``DATASETS.FILES`` of a config: name, JSON and image folder of each dataset of one's own.

    Returns:
        The dataset's files; both are there.

    Raises:
        ValueError: the name is unknown.
        FileNotFoundError: a file is missing; the message says where it was looked for and what to do.
    """
    mine = own_datasets(own)
    if name in mine:
        return _checked(mine[name], "check --dataset-json and --image-root, or DATASETS.FILES in the config")
    if name not in LAYOUT:
        raise ValueError(
            f"unknown dataset {name!r}; known: {', '.join([*mine, *LAYOUT])}. "
            "For a dataset of your own give --dataset-json and --image-root"
        )
    root = Path(os.environ.get("DETECTRON2_DATASETS", "datasets"))
    json_file, image_root = (root / part for part in LAYOUT[name])
    variable = os.environ.get("DETECTRON2_DATASETS")
    hint = f"DETECTRON2_DATASETS is {'not set (default: datasets)' if variable is None else variable}"
    if name.startswith("shapes"):
        hint += "; to generate the dataset run: hiera-det make-shapes --output $DETECTRON2_DATASETS/shapes"
    hint += "; for a dataset elsewhere give --dataset-json and --image-root"
    return _checked(DatasetFiles(name, json_file, image_root), hint)


def custom_dataset(json_file: str | Path, image_root: str | Path) -> DatasetFiles:
    """Take a COCO-format dataset at any place; its name is that of the JSON, without the ending.

    Raises:
        FileNotFoundError: there is no such JSON or no such folder.
    """
    files = DatasetFiles(Path(json_file).stem, Path(json_file), Path(image_root))
    return _checked(files, "check --dataset-json and --image-root")


def own_datasets(own: Sequence[Any]) -> dict[str, DatasetFiles]:
    """Give one's own datasets by name, as ``DATASETS.FILES`` of a config has them."""
    return {name: DatasetFiles(name, Path(json_file), Path(image_root)) for name, json_file, image_root in own}


def dataset_keys(train: DatasetFiles | None, test: DatasetFiles | None) -> list[Any]:
    """Give the config keys and values by which a run trains and evaluates on one's own files.

    Args:
        train: in place of ``DATASETS.TRAIN``; then without ``test`` nothing is evaluated.
        test: in place of ``DATASETS.TEST``.
    """
    given = {split: its for split, its in (("TRAIN", train), ("TEST", test)) if its is not None}
    if not given:
        return []
    names = {split: its.name for split, its in given.items()}
    if train != test and len(set(names.values())) < len(names):  # two files of one name, in two folders
        names = {split: f"{name}_{split.lower()}" for split, name in names.items()}
    files = {names[split]: [names[split], str(its.json_file), str(its.image_root)] for split, its in given.items()}
    words: list[Any] = ["DATASETS.FILES", list(files.values())]
    for split in ("TRAIN", "TEST") if train is not None else ("TEST",):
        words += [f"DATASETS.{split}", (names[split],) if split in names else ()]
    return words


def sums_of(datasets: Iterable[DatasetFiles]) -> dict[str, tuple[str, str]]:
    """Give the SHA-256 of each dataset's annotations in hex, and its place for people, by its name."""
    return {its.name: (file_sum(its.json_file), f"{its.json_file}, images in {its.image_root}") for its in datasets}


def _checked(files: DatasetFiles, hint: str) -> DatasetFiles:
    if not files.json_file.is_file():
        raise FileNotFoundError(f"dataset {files.name}: no annotation file at {files.json_file}. {hint}")
    if not files.image_root.is_dir():
        raise FileNotFoundError(f"dataset {files.name}: no image folder at {files.image_root}. {hint}")
    return files
