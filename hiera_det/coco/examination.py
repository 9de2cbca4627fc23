"""The examination of a run's datasets before it starts: what would be found too late, or not at all."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from fvcore.common.config import CfgNode

from hiera_det.coco.examine_annotations import examine_annotations
from hiera_det.coco.examine_files import examine_image_files
from hiera_det.coco.json_file import AnnotationError
from hiera_det.coco.reader import read_annotations
from hiera_det.coco.records import Annotations
from hiera_det.coco.tables import dataset_table
from hiera_det.data.catalog import DatasetFiles
from hiera_det.data.class_names import check_same_classes
from hiera_det.data.findings import Findings, some
from hiera_det.data.image_files import MAX_PIXELS
from hiera_det.data.images import Reading

__all__ = ["Given", "examine_datasets"]


@dataclass(frozen=True)
class Given:
    """A dataset as a run takes it.

    Attributes:
        files: JSON and image folder.
        mask_format: "polygon" or "bitmask"; None: boxes alone.
    """

    files: DatasetFiles
    mask_format: str | None

    @classmethod
    def from_config(cls, cfg: CfgNode, files: DatasetFiles, split: str) -> Given:
        """Files of "TRAIN" or "TEST" with the masks that ``MODEL.MASK_ON`` and ``INPUT.MASK_FORMAT`` ask for."""
        masks = cfg.INPUT.MASK_FORMAT if split == "TRAIN" else "bitmask"
        return cls(files, masks if cfg.MODEL.MASK_ON else None)


def examine_datasets(
    given: Mapping[str, Given],
    findings: Findings,
    num_classes: int | None = None,
    *,
    reading: Reading | None = None,
    only_8_bits: bool = False,
    all_needed: Collection[str] = ("TEST",),
) -> dict[str, Annotations]:
    """Read the annotations of each split, look at its image files and boxes, and compare the classes.

    Args:
        given: by split, "TRAIN" and "TEST" or one of them.
        findings: gets what is found.
        num_classes: that ``MODEL.ROI_HEADS.NUM_CLASSES`` has; None: it does not matter.
        reading: how images are read; None: as 8-bit colour.
        only_8_bits: see :func:`~hiera_det.coco.examine_files.examine_image_files`.
        all_needed: splits of which every image has to be readable.

    Returns:
        What could be read, by split.
    """
    found: dict[str, Annotations] = {}
    for split, its in given.items():
        annotations = _read(its, findings)
        if annotations is None:
            continue
        found[split] = annotations
        name = f"{its.files.name} ({split.lower()})"
        findings.add("ok", dataset_table(annotations, name))
        for note in annotations.notes:
            findings.add("note", f"{its.files.json_file}: {note}")
        examine_annotations(annotations, findings, name)
        examine_image_files(
            annotations.records,
            its.files.image_root,
            findings,
            name,
            all_needed=split in all_needed,
            reading={"max_pixels": MAX_PIXELS} if reading is None else reading,
            only_8_bits=only_8_bits,
        )
    _compare_classes(found, findings, num_classes)
    _compare_images(given, found, findings)
    return found


def _compare_images(given: Mapping[str, Given], found: Mapping[str, Annotations], findings: Findings) -> None:
    """Note images that are in both sets."""
    if len(found) < 2:
        return
    files = {
        split: {os.path.normpath(given[split].files.image_root / it.file_name) for it in annotations.records}
        for split, annotations in found.items()
    }
    if both := set.intersection(*files.values()):
        count = len(files["TEST"])
        findings.add("note", f"{len(both)} of {count} test images are in the training set too: {some(sorted(both), 2)}")


def _read(its: Given, findings: Findings) -> Annotations | None:
    """What can be read; None: nothing."""
    try:
        return read_annotations(its.files.json_file, mask_format=its.mask_format)
    except AnnotationError as error:
        for problem in error.problems:
            findings.add("problem", f"{its.files.json_file}: {problem}")
        return error.annotations


def _compare_classes(found: Mapping[str, Annotations], findings: Findings, num_classes: int | None) -> None:
    """The splits' with each other, then with the model's: advice about the one would contradict that about another."""
    if not found:
        return
    first, *others = found.values()
    try:
        for other in others:
            check_same_classes(first.source, first.class_names, other.class_names, other.source)
    except ValueError as error:
        findings.add("problem", str(error))
        return
    count = len(first.category_ids)
    if num_classes not in (None, count):
        findings.add(
            "problem",
            f"{first.source} has {count} categories, but MODEL.ROI_HEADS.NUM_CLASSES is {num_classes}; set it to"
            f" {count}",
        )
