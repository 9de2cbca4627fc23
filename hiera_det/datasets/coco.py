"""COCO's JSONs in the layouts of COCO, LVIS, Roboflow, CVAT and Label Studio."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from hiera_det.coco.entries import EntryReader
from hiera_det.coco.values import FieldError
from hiera_det.datasets.files import by_split, files_called
from hiera_det.datasets.split import Split
from hiera_det.utils.json_text import parse_json
from hiera_det.utils.text import read_text

__all__ = ["coco_contents", "read_coco"]

_LISTS = ("images", "annotations", "categories")
_LOOKED_AT = 20  # file names by which the folder of images is found


def coco_contents(path: Path) -> dict[Path, dict[str, Any]]:
    """Give what COCO's JSONs hold: of a file, or of those in a folder, its ``annotations`` and its folders of splits.

    Where there are files called ``instances…``, it is they alone.
    """
    files = files_called(path, ".json", also="annotations")
    if path.is_dir():
        files = [file for file in files if file.name.startswith("instances")] or files
    contents = {file: _content(file) for file in files}
    return {file: content for file, content in contents.items() if content is not None}


def _content(file: Path) -> dict[str, Any] | None:
    """What a file holds; None: it has not COCO's lists."""
    try:
        content = parse_json(read_text(file, max_bytes=None))
    except (ValueError, OSError):
        return None
    has_lists = isinstance(content, dict) and all(isinstance(content.get(key), list) for key in _LISTS)
    return content if has_lists else None


def read_coco(contents: dict[Path, dict[str, Any]], root: Path) -> dict[str, Split]:
    """Take the JSONs of a dataset, each of a split by its name or its folder's.

    A category 0 without annotations that the others name as theirs (Roboflow's root) is dropped. Nothing else is looked
    at here: the reader of a run's annotations does.

    Args:
        contents: of :func:`coco_contents`.
        root: the folder of the dataset.

    Raises:
        OSError: the images are nowhere.
        ValueError: two files are of one split.
    """
    return {split: _read(file, contents[file], root, split) for split, file in by_split(contents, root).items()}


def _read(file: Path, content: dict[str, Any], root: Path, split: str) -> Split:
    used = {entry.get("category_id") for entry in content["annotations"] if isinstance(entry, dict)}
    categories = [entry for entry in content["categories"] if not _is_root(entry, content["categories"], used)]
    dropped = len(content["categories"]) - len(categories)
    images = _image_root(file, root, split, content["images"])
    found = Split(images, split, content["images"], content["annotations"], categories)
    found.json_file = None if dropped else file
    if dropped:
        found.notes["category 0 without annotations, of which the others are kinds, dropped"] += dropped
    return found


def _is_root(category: Any, categories: list[Any], used: set[Any]) -> bool:
    if not isinstance(category, dict) or category.get("id") != 0 or 0 in used:
        return False
    others = [entry for entry in categories if entry is not category and isinstance(entry, dict)]
    return bool(others) and all(entry.get("supercategory") == category.get("name") for entry in others)


def _image_root(file: Path, root: Path, split: str, images: list[Any]) -> Path:
    """The folder that has most of the first images."""
    names = list(_names(images[:_LOOKED_AT]))
    words = [file.stem.removeprefix("instances_"), split, "valid" if split == "val" else split, "default", ""]
    folders = [
        base / middle / word for base in (file.parent, root, root.parent) for middle in ("", "images") for word in words
    ]
    there = {its: sum((its / name).is_file() for name in names) for its in folders}
    best = max(there, key=lambda its: there[its], default=root)
    if not there[best]:
        looked = ", ".join(dict.fromkeys(str(its) for its in folders if its.is_dir()))
        raise FileNotFoundError(
            f"{file}: its images, such as {names[0] if names else 'none'!r}, are in none of {looked}"
        )
    return best


def _names(images: list[Any]) -> Iterator[str]:
    """Images' names as the reader of a run takes them, as far as they can be told."""
    reader = EntryReader(None)
    for entry in images:
        with suppress(FieldError):
            yield reader.image_name(entry, {})[1]
