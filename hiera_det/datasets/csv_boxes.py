"""Boxes in CSV files: a row for each, with a header, or as RetinaNet's ``path,x1,y1,x2,y2,class``."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from hiera_det.datasets.files import by_split, common_root, files_called, images_in, size_of
from hiera_det.datasets.split import Box, Split, with_classes
from hiera_det.utils.nested import shown
from hiera_det.utils.problems import Problems
from hiera_det.utils.text import NotText, text_lines

__all__ = ["csv_files", "read_csv"]

# What a column may be called, in lower case.
_COLUMNS = {
    "image": ("filename", "file_name", "image", "image_path", "path", "file", "image_id"),
    "class": ("class", "label", "class_name", "category", "name"),
    "x1": ("x1", "xmin", "x_min", "left"),
    "y1": ("y1", "ymin", "y_min", "top"),
    "x2": ("x2", "xmax", "x_max", "right"),
    "y2": ("y2", "ymax", "y_max", "bottom"),
}
_RETINANET = {"image": 0, "x1": 1, "y1": 2, "x2": 3, "y2": 4, "class": 5}


def csv_files(path: Path) -> list[Path]:
    """Give the CSV files of boxes: it itself, or those of a folder and of its folders of splits."""
    files = files_called(path, ".csv")
    return files if path.is_file() else [file for file in files if _columns(_first_row(file)) is not None]


def read_csv(files: list[Path], root: Path) -> dict[str, Split]:
    """Read files of boxes, each of a split by its name or its folder's; corners are in pixels.

    A row without corners and class, as RetinaNet's, is an image without objects.

    Args:
        files: of :func:`csv_files`.
        root: the folder of the dataset.

    Raises:
        OSError: a file cannot be read.
        ValueError: rows are not as expected, images are missing, or two files are of one split.
    """
    return with_classes({split: _read(file, root) for split, file in by_split(files, root).items()})


def _first_row(file: Path) -> list[str]:
    try:
        return next(csv.reader(text_lines(file), strict=True), [])
    except (csv.Error, NotText, OSError):
        return []


def _columns(row: list[str]) -> dict[str, int] | None:
    """Place of each column, by a header or a first row without one; None: it is another table."""
    names = [text.strip().lower() for text in row]
    found = {key: names.index(name) for key, known in _COLUMNS.items() for name in known[::-1] if name in names}
    if found.keys() == _COLUMNS.keys():
        return found
    return _RETINANET if len(row) == 6 and all(map(_is_number, row[1:5])) else None


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return not text.strip()


def _read(file: Path, root: Path) -> Split:
    columns = _columns(_first_row(file))
    if columns is None:
        raise ValueError(
            f"{file}, line 1: {shown(','.join(_first_row(file)))}, expected a header with filename, xmin, ymin, xmax,"
            " ymax and class, or rows of path,x1,y1,x2,y2,class"
        )
    places = {path.relative_to(base).as_posix(): path for base in (root, file.parent) for path in images_in(base)}
    by_name = {path.name: path for path in places.values()}
    problems, numbers = Problems(file), dict[Path, int]()
    split = Split(common_root(path.parent for path in places.values()) if places else root)
    reader = csv.reader(text_lines(file), strict=True)
    try:
        for row in reader:
            where = f"line {reader.line_num}"
            if not any(row) or (reader.line_num == 1 and columns is not _RETINANET):
                continue
            try:
                name, label, box = _values(row, columns)
            except ValueError as error:
                problems.add(where, str(error))
                continue
            path = places.get(name) or by_name.get(Path(name).name)
            if path is None:
                problems.add(where, f"there is no image {shown(name)} below {root}")
                continue
            if path not in numbers:
                numbers[path] = split.add_image(path, size_of(path))
            if box is not None:
                split.add_box(numbers[path], label, box)
    except (csv.Error, NotText) as error:
        raise ValueError(f"{file}, line {reader.line_num}: not a CSV file in UTF-8 ({error})") from error
    problems.raise_any()
    return split


def _values(row: list[str], columns: dict[str, int]) -> tuple[str, str, Box | None]:
    """Image, class and corners; None: the image has no objects."""
    if len(row) <= max(columns.values()):
        raise ValueError(f"{len(row)} columns, expected {max(columns.values()) + 1}")
    name, label, *texts = (row[columns[key]].strip() for key in ("image", "class", "x1", "y1", "x2", "y2"))
    name = name.replace("\\", "/")
    if not name:
        raise ValueError("it names no image")
    if not label and not any(texts):
        return name, "", None
    if not label:
        raise ValueError("it names no class")
    try:
        x1, y1, x2, y2 = map(float, texts)
    except ValueError:
        raise ValueError(f"corners {shown(','.join(texts))}, expected four numbers") from None
    if not all(map(math.isfinite, (x1, y1, x2, y2))):
        raise ValueError(f"corners {shown(','.join(texts))}, expected four numbers")
    return name, label, (x1, y1, x2, y2)
