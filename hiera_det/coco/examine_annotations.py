"""What is wrong with a dataset as a set, beyond single fields: boxes, classes, nothing to learn from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pycocotools.mask as mask_util

from hiera_det.coco.records import Annotations, ImageRecord, Instance
from hiera_det.data.findings import Findings, some

__all__ = ["examine_annotations"]

_AGREE, _DISAGREE = 0.9, 0.5  # IoU of a box and its mask's extent
_ROUNDING = 1.0  # pixels


def examine_annotations(annotations: Annotations, findings: Findings, name: str) -> None:
    """Look for what makes a dataset useless without a word.

    Args:
        annotations: of the dataset.
        findings: gets what is found.
        name: of the dataset, for messages.
    """
    every = [(record, instance) for record in annotations.records for instance in record.instances]
    _examine_amount(annotations, every, findings, name)
    _examine_names(annotations, findings, name)
    boxed = [pair for pair in every if not pair[1].crowd]
    if boxed and all(_is_fraction(record, instance) for record, instance in boxed):
        findings.add(
            "problem",
            f"{name}: all {len(boxed)} boxes lie within 0 to 1: they are fractions of the image, COCO's are pixels",
        )
    elif boxed:
        _examine_corners(boxed, findings, name)
        _examine_masks(boxed, findings, name)


def _examine_amount(
    annotations: Annotations, every: list[tuple[ImageRecord, Instance]], findings: Findings, name: str
) -> None:
    trainable = sum(instance.trainable for _, instance in every)
    if not every:
        findings.add("note", f"{name}: there are no annotations: nothing to learn from or to evaluate")
    elif not trainable:
        reason = "all are crowd regions" if all(it.crowd for _, it in every) else "no box has an area in its image"
        findings.add(
            "note",
            f"{name}: none of the {len(every)} instances can be learned from or evaluated: {reason} (iscrowd 1 is for"
            " regions of many objects)",
        )
    absent = sorted(set(range(len(annotations.class_names))) - {it.label - 1 for _, it in every if it.trainable})
    if trainable and absent:
        names = annotations.unique_names()
        findings.add("note", f"{name}: {len(absent)} classes have no instance: {some(names[k] for k in absent)}")
    empty = sum(not record.for_training().instances for record in annotations.records)
    if trainable and 2 * empty > len(annotations.records):
        findings.add("note", f"{name}: {empty} of {len(annotations.records)} images have no instance")


def _examine_names(annotations: Annotations, findings: Findings, name: str) -> None:
    twice = sorted(it for it, count in Counter(annotations.class_names).items() if count > 1)
    if twice:
        findings.add(
            "note", f"{name}: several classes have the same name, and are kept apart by their id: {some(twice)}"
        )
    files = Counter(record.file_name for record in annotations.records)
    if again := sorted(it for it, count in files.items() if count > 1):
        findings.add("note", f"{name}: {len(again)} image files are there more than once: {some(again)}")


def _is_fraction(record: ImageRecord, instance: Instance) -> bool:
    return min(record.height, record.width) > 1 and all(0 <= value <= 1 for value in instance.bbox)


def _examine_corners(boxed: list[tuple[ImageRecord, Instance]], findings: Findings, name: str) -> None:
    """Boxes that leave the image as (x, y, width, height), and would not as corners."""
    suspects = [record.image_id for record, instance in boxed if _leaves_unless_corners(record, instance)]
    if 2 * len(suspects) > len(boxed):
        findings.add(
            "problem",
            f"{name}: {len(suspects)} of {len(boxed)} boxes reach beyond their image, and would not as x1, y1, x2, y2:"
            f" COCO's are x, y, width, height (images {some(dict.fromkeys(suspects))})",
        )


def _leaves_unless_corners(record: ImageRecord, instance: Instance) -> bool:
    x, y, width, height = instance.bbox
    leaves = x + width > record.width + _ROUNDING or y + height > record.height + _ROUNDING
    corners = x < width <= record.width + _ROUNDING and y < height <= record.height + _ROUNDING
    return leaves and corners


def _examine_masks(boxed: list[tuple[ImageRecord, Instance]], findings: Findings, name: str) -> None:
    """Compare boxes with the extents of their masks."""
    compared, contradicted = 0, []
    readings: Counter[str] = Counter()
    for record, instance in boxed:
        extent = _extent(instance)
        if extent is None:
            continue
        compared += 1
        if _iou(instance.bbox, extent) < _DISAGREE:
            contradicted.append(f"annotation {instance.annotation_id} of {record.file_name}")
            readings.update(what for what, box in _readings(record, instance.bbox) if _iou(box, extent) >= _AGREE)
    if not contradicted:
        return
    text = f"{name}: {len(contradicted)} of {compared} boxes disagree with their masks (IoU below {_DISAGREE})"
    what, count = readings.most_common(1)[0] if readings else ("", 0)
    if 2 * count > len(contradicted):
        text += f"; read as {what} {count} of them would agree, but COCO's are x, y, width, height in pixels"
    kind = "problem" if 2 * len(contradicted) > compared else "note"
    findings.add(kind, f"{text}: {some(contradicted)}")


def _extent(instance: Instance) -> np.ndarray | None:
    """(x, y, width, height) of a mask; None: there is none, or it is empty."""
    mask = instance.segmentation
    if isinstance(mask, dict):
        box = mask_util.toBbox(mask)
        return box if box[2] > 0 and box[3] > 0 else None
    if not mask:
        return None
    vertices = np.concatenate(mask)
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    return np.concatenate([low, high - low]) if (high > low).all() else None


def _readings(
    record: ImageRecord, bbox: tuple[float, float, float, float]
) -> Iterator[tuple[str, tuple[float, float, float, float]]]:
    """What a box may have been meant for."""
    a, b, c, d = bbox
    w, h = record.width, record.height
    yield "x1, y1, x2, y2", (a, b, c - a, d - b)
    yield "y, x, height, width", (b, a, d, c)
    yield "centre x, centre y, width, height", (a - c / 2, b - d / 2, c, d)
    yield "fractions of the image", (a * w, b * h, c * w, d * h)
    yield "fractions, centre x, centre y, width, height", ((a - c / 2) * w, (b - d / 2) * h, c * w, d * h)


def _iou(a: tuple[float, float, float, float], b: np.ndarray) -> float:
    """IoU of two boxes (x, y, width, height); 0 where one has no area."""
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    high = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    inside = max(wide, 0.0) * max(high, 0.0)
    union = a[2] * a[3] + b[2] * b[3] - inside
    return float(inside / union) if inside > 0 and union > 0 else 0.0
