"""What is wrong with a dataset as a set, beyond single fields: boxes, classes, nothing to learn from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from hiera_det.coco.records import Annotations, ImageRecord, Instance, extent
from hiera_det.data.findings import Findings, some

__all__ = ["examine_annotations"]

Box = tuple[float, float, float, float]

_AGREE, _DISAGREE = 0.9, 0.5  # IoU of a box and its mask's extent
_BETTER = 0.05  # by which another reading of a box has to agree more with its mask
_NEARLY_ALL = 0.9  # of the boxes
_OVERSHOOT = 0.01  # of fractions of the image that annotators and converters round
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
    boxed = [(record, it) for record, it in every if not it.crowd and it.bbox[2] > 0 and it.bbox[3] > 0]
    fractions = sum(_is_fraction(record, instance) for record, instance in boxed)
    if boxed and fractions >= _NEARLY_ALL * len(boxed):
        text = f"{name}: {fractions} of {len(boxed)} boxes lie within 0 to 1: they are fractions of the image"
        findings.add("problem", f"{text}, COCO's are pixels")
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
    leaving = sum(_leaves(record, it) for record, it in every)
    if leaving:
        findings.add("note", f"{name}: {leaving} boxes reach beyond their image, and are clipped in training")
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
    within = all(-_OVERSHOOT <= value <= 1 + _OVERSHOOT for value in instance.bbox)
    return within and min(record.height, record.width) > 1


def _examine_corners(boxed: list[tuple[ImageRecord, Instance]], findings: Findings, name: str) -> None:
    """Boxes that leave the image as (x, y, width, height), and would not as corners."""
    suspects = [record.image_id for record, instance in boxed if _leaves_unless_corners(record, instance)]
    if 2 * len(suspects) > len(boxed):
        findings.add(
            "problem",
            f"{name}: {len(suspects)} of {len(boxed)} boxes reach beyond their image, and would not as x1, y1, x2, y2:"
            f" COCO's are x, y, width, height (images {some(dict.fromkeys(suspects))})",
        )


def _leaves(record: ImageRecord, instance: Instance) -> bool:
    x, y, width, height = instance.bbox
    beyond = max(-x, -y, x + width - record.width, y + height - record.height)
    return beyond > _ROUNDING


def _leaves_unless_corners(record: ImageRecord, instance: Instance) -> bool:
    x, y, width, height = instance.bbox
    corners = x < width <= record.width + _ROUNDING and y < height <= record.height + _ROUNDING
    return corners and _leaves(record, instance)


def _examine_masks(boxed: list[tuple[ImageRecord, Instance]], findings: Findings, name: str) -> None:
    """Compare boxes with the extents of their masks, and look for empty masks."""
    compared, empty, contradicted = 0, [], []
    readings: Counter[str] = Counter()
    for record, instance in boxed:
        if instance.segmentation is None:
            continue
        box = extent(instance.segmentation)
        where = f"annotation {instance.annotation_id} of {record.file_name}"
        if box is None:
            empty.append(where)
            continue
        compared += 1
        own = _iou(instance.bbox, box)
        if own < _DISAGREE:
            contradicted.append(where)
        least = max(_AGREE, own + _BETTER)
        readings.update(what for what, other in _readings(record, instance.bbox) if _iou(other, box) >= least)
    if empty:
        findings.add("note", f"{name}: {len(empty)} masks are empty, which training leaves out: {some(empty)}")
    what, count = readings.most_common(1)[0] if readings else ("", 0)
    if 2 * count > compared:
        text = f"{name}: {count} of {compared} boxes agree with their masks only if they are read as {what}"
        findings.add("problem", f"{text}; COCO's are x, y, width, height in pixels")
    elif contradicted:
        kind = "problem" if 2 * len(contradicted) > compared else "note"
        text = f"{name}: {len(contradicted)} of {compared} boxes disagree with their masks (IoU below {_DISAGREE})"
        findings.add(kind, f"{text}: {some(contradicted)}")


def _readings(record: ImageRecord, bbox: Box) -> Iterator[tuple[str, Box]]:
    """What a box may have been meant for."""
    a, b, c, d = bbox
    w, h = record.width, record.height
    yield "x1, y1, x2, y2", (a, b, c - a, d - b)
    yield "y, x, height, width", (b, a, d, c)
    yield "centre x, centre y, width, height", (a - c / 2, b - d / 2, c, d)
    yield "fractions of the image", (a * w, b * h, c * w, d * h)
    yield "fractions, centre x, centre y, width, height", ((a - c / 2) * w, (b - d / 2) * h, c * w, d * h)


def _iou(a: Box, b: Box) -> float:
    """IoU of two boxes (x, y, width, height); 0 where one has no area."""
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    high = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    inside = max(wide, 0.0) * max(high, 0.0)
    union = a[2] * a[3] + b[2] * b[3] - inside
    return inside / union if inside > 0 and union > 0 else 0.0
