"""The image files of a dataset, examined before a run: each is there, and of the size that the JSON says."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from hiera_det.coco.records import ImageRecord
from hiera_det.data.depth import is_deep
from hiera_det.data.findings import Findings, some
from hiera_det.data.image_files import UnreadableImageError, read_header
from hiera_det.data.images import Reading, header_problem

__all__ = ["examine_image_files"]

_BEARABLE = 0.5  # of the images; training takes others in the place of those that cannot be read
_THREADS = 8  # files are waited for, on shared disks above all
_ORIENTATIONS = (2, 3, 4)  # EXIF's that leave the size: mirrored, upside down, both


@dataclass(frozen=True)
class _File:
    """What is wrong with a file, or peculiar; empty: nothing."""

    record: ImageRecord
    missing: bool = False
    unreadable: str = ""
    size: str = ""
    turned: str = ""
    deep: bool = False


def examine_image_files(
    records: Sequence[ImageRecord],
    root: Path,
    findings: Findings,
    name: str,
    *,
    all_needed: bool,
    reading: Reading,
    only_8_bits: bool,
) -> None:
    """Stat each file and read its header, with progress.

    Args:
        records: the images.
        root: the folder that their names start from.
        findings: gets what is found.
        name: of the dataset, for messages.
        all_needed: a file that cannot be read is a problem; otherwise it is a note, unless many cannot be.
        reading: how images are read.
        only_8_bits: of grey pixels of more bits, all above 255 become white, as on detectron2.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(lambda record: _examine(record, root / record.file_name, reading), records)
        files = [it for it in tqdm(found, desc=f"image files of {name}", total=len(records), leave=False) if it]
    missing = [it.record.file_name for it in files if it.missing]
    if missing:
        none = len(missing) == len(records)
        advice = f"; image names start from {root}: is that the folder?" if none else ""
        findings.add(
            "problem", f"{name}: {len(missing)} of {len(records)} image files are not there: {some(missing)}{advice}"
        )
    unreadable = [it.unreadable for it in files if it.unreadable]
    if unreadable:
        kind = "problem" if all_needed or len(unreadable) > _BEARABLE * len(records) else "note"
        findings.add(kind, f"{name}: {len(unreadable)} image files cannot be read: {some(unreadable, 3, '; ')}")
    if sizes := [it.size for it in files if it.size]:
        findings.add(
            "problem", f"{name}: {len(sizes)} images are of another size than the JSON says: {some(sizes, 3, '; ')}"
        )
    if only_8_bits and (deep := [it.record.file_name for it in files if it.deep]):
        findings.add(
            "note",
            f"{name}: {len(deep)} images have grey of more than 8 bits, of which detectron2 makes all above 255 white:"
            f" {some(deep)}; take --backend torchvision, which scales them",
        )
    if turned := [it.turned for it in files if it.turned]:
        findings.add(
            "note",
            f"{name}: {len(turned)} images are turned by their EXIF orientation, which their size does not show:"
            f" {some(turned)}; see whether their boxes were drawn on the turned image, as they are read",
        )


def _examine(record: ImageRecord, path: Path, reading: Reading) -> _File | None:
    try:
        os.stat(path)
    except OSError:
        return _File(record, missing=True)
    try:
        header = read_header(path, max_pixels=reading.get("max_pixels"))
    except UnreadableImageError as error:
        return _File(record, unreadable=str(error))
    if problem := header_problem(header, reading):
        return _File(record, unreadable=f"{path}: {problem}")
    orientation, expected = header.orientation, (record.width, record.height)
    if header.size != expected:
        because = ""
        if (header.width, header.height) == expected:
            because = f" after its EXIF orientation {orientation} has turned it, without which the boxes were drawn"
        came = f"height {header.size[1]} and width {header.size[0]}{because}, not {expected[1]} and {expected[0]}"
        return _File(record, size=f"{path} (image {record.image_id}) has {came}")
    peculiar = orientation in _ORIENTATIONS or (orientation >= 5 and header.height == header.width)
    turned = f"{record.file_name} (orientation {orientation})" if peculiar and record.instances else ""
    deep = is_deep(header.mode)
    return _File(record, turned=turned, deep=deep) if turned or deep else None
