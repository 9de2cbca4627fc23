"""Class labels of items: from a CSV file, or from the folders in their ids."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterable
from pathlib import Path

from hiera_det.features.analysis.vectors import name_some
from hiera_det.features.store.reader import FeatureStore
from hiera_det.utils.problems import Problems
from hiera_det.utils.text import NotText, text_lines

__all__ = ["FOLDERS", "folder_labels", "labels_of", "read_labels"]

logger = logging.getLogger(__name__)

FOLDERS = "folders"  # in place of a file: the items' own
_HEADER = ["id", "label"]


def labels_of(store: FeatureStore, source: str) -> dict[str, str]:
    """Labels for a store; items that could not be read are left out, and counted in the log.

    Args:
        store: with the items.
        source: a file for :func:`read_labels`, or "folders" for :func:`folder_labels`.

    Raises:
        OSError, ValueError: as of those two.
    """
    if source == FOLDERS:
        return folder_labels(store)
    labels = read_labels(source)
    failed = [failure.id for failure in store.failed if labels.pop(failure.id, None) is not None]
    if failed:
        logger.warning("%d labelled items could not be read and are left out: %s", len(failed), name_some(failed))
    return labels


def read_labels(path: str | Path) -> dict[str, str]:
    """Read a CSV file of ``id,label`` with that line as its header: the label of each id.

    Raises:
        OSError: the file cannot be read.
        ValueError: the header is another, a row does not have two fields with something in them, an id comes twice
            (the lines are named), no row follows the header, or the file is no UTF-8 text.
    """
    labels: dict[str, str] = {}
    problems = Problems(path)
    reader = csv.reader(text_lines(path), strict=True)
    try:
        header = [text.strip() for text in next(reader, [])]
        if header != _HEADER:
            raise ValueError(f"{path} begins with {','.join(header)!r}, expected the header id,label")
        for row in filter(any, reader):
            where = f"line {reader.line_num}"
            if len(row) != 2 or not all(row):
                problems.add(where, f"{','.join(row)!r}, expected id,label (quote a field that has a comma)")
            elif row[0] in labels:
                problems.add(where, f"id {row[0]!r} comes a second time; keep one of the lines")
            else:
                labels[row[0]] = row[1]
    except (csv.Error, NotText) as error:
        raise ValueError(f"{path}, near line {reader.line_num + 1} is no CSV in UTF-8: {error}") from error
    problems.raise_any()
    if not labels:
        raise ValueError(f"{path} has no row after its header; expected id,label in each")
    return labels


def folder_labels(ids: Iterable[str]) -> dict[str, str]:
    """The first folder of each id: of ``cat/tabby/1.jpg`` it is ``cat``.

    Raises:
        ValueError: ids without a folder.
    """
    labels = {name: name.partition("/")[0] for name in ids if "/" in name}
    bare = [name for name in ids if name not in labels]
    if bare:
        raise ValueError(
            f"{len(bare)} ids have no folder to be their label: {name_some(bare)}; give a CSV file of id,label, or "
            "extract from the folder that holds a folder for each class"
        )
    return labels
