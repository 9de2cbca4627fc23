"""Datasets written as COCO, YOLO or Pascal VOC, with copies of their images."""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import pycocotools.mask as mask_util
import yaml
from tqdm import tqdm

from hiera_det.coco.json_file import AnnotationError
from hiera_det.coco.reader import read_annotations
from hiera_det.coco.records import Annotations, ImageRecord, Instance, Segmentation
from hiera_det.data.catalog import DatasetFiles
from hiera_det.datasets.files import ALL
from hiera_det.utils.files import atomic_write

__all__ = ["WRITERS", "write_dataset"]

logger = logging.getLogger(__name__)

_FINE = 4  # steps of a pixel in outlines


def write_dataset(splits: Mapping[str, DatasetFiles], output: str | Path, to: str) -> None:
    """Write a dataset to a new folder, which appears when it is complete.

    Args:
        splits: COCO JSONs and folders of images, by name.
        output: the folder; nothing may be there.
        to: one of :data:`WRITERS`.

    Raises:
        FileExistsError: there is something at `output`.
        OSError: an image cannot be read, or the folder not be written.
        ValueError: annotations are not as expected.
    """
    path = Path(output)
    if path.exists():
        raise FileExistsError(f"{path} exists already and stays as it is; name another, or remove it")
    read = {name: _read(its) for name, its in splits.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        temporary.mkdir()
        notes = WRITERS[to](splits, read, temporary)
    for what, count in sorted(notes.items()):
        logger.warning("%d %s", count, what)


def _read(files: DatasetFiles) -> Annotations:
    """All instances, with masks as far as there are any."""
    annotations = read_annotations(files.json_file, mask_format=None)
    try:
        masked = read_annotations(files.json_file, mask_format="bitmask")
    except AnnotationError as error:  # none has one
        masked = error.annotations or annotations
    masks = {_key(record, it): it.segmentation for record in masked.records for it in record.instances}
    for record in annotations.records:
        for instance in record.instances:
            instance.segmentation = masks.get(_key(record, instance))
    return annotations


def _key(record: ImageRecord, instance: Instance) -> tuple[Any, ...]:
    return record.image_id, instance.annotation_id, instance.label, instance.bbox


def _records(name: str, its: Annotations) -> Iterator[ImageRecord]:
    yield from tqdm(its.records, desc=name, unit="image", disable=None)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _write_coco(splits: Mapping[str, DatasetFiles], read: Mapping[str, Annotations], folder: Path) -> Counter[str]:
    for name, its in read.items():
        for record in _records(name, its):
            _copy(splits[name].image_root / record.file_name, folder / name / record.file_name)
        _copy(splits[name].json_file, folder / "annotations" / f"instances_{name}.json")
    return Counter()


def _write_yolo(splits: Mapping[str, DatasetFiles], read: Mapping[str, Annotations], folder: Path) -> Counter[str]:
    notes: Counter[str] = Counter()
    for name, its in read.items():
        for record in _records(name, its):
            image = folder / "images" / name / record.file_name
            _copy(splits[name].image_root / record.file_name, image)
            labels = (folder / "labels" / name / record.file_name).with_suffix(".txt")
            labels.parent.mkdir(parents=True, exist_ok=True)
            kept = [instance for instance in record.instances if not instance.crowd]
            notes["crowd regions, which YOLO does not have, are left out"] += len(record.instances) - len(kept)
            labels.write_text("".join(_line(instance, record) for instance in kept), encoding="utf-8")
    names = dict(enumerate(next(iter(read.values())).unique_names()))
    config = {"train" if name == ALL else name: f"images/{name}" for name in read} | {"names": names}
    (folder / "data.yaml").write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return +notes


def _line(instance: Instance, record: ImageRecord) -> str:
    """A line of YOLO: class from 0, then the outline, or without a mask the box, in fractions of the image."""
    size = np.array([record.width, record.height], dtype=np.float64)
    if instance.segmentation:
        values = (_outline(instance.segmentation) / size).ravel()
    else:
        x, y, width, height = instance.bbox
        values = (np.array([[x + width / 2, y + height / 2], [width, height]]) / size).ravel()
    return " ".join([str(instance.label - 1), *(f"{value:.7g}" for value in values)]) + "\n"


def _outline(mask: Segmentation) -> np.ndarray:
    """One polygon (k, 2): YOLO has one for each object, so parts are joined by lines that go and come back."""
    parts = _contours(mask) if isinstance(mask, dict) else sorted(mask, key=len, reverse=True)
    joined = parts[0]
    for part in parts[1:]:
        distances = ((joined[:, None] - part[None]) ** 2).sum(-1)  # (k, l)
        here, there = np.unravel_index(distances.argmin(), distances.shape)
        around = np.concatenate([part[there:], part[: there + 1]])
        joined = np.concatenate([joined[: here + 1], around, joined[here:]])
    return joined


def _contours(mask: dict[str, Any]) -> list[np.ndarray]:
    """Outer edges of a mask's parts, the one of most corners first; holes are filled."""
    left, top, width, height = (int(value) for value in mask_util.toBbox(mask))
    pixels = mask_util.decode(mask)[top : top + height, left : left + width]
    fine = np.ascontiguousarray(pixels.repeat(_FINE, 0).repeat(_FINE, 1))
    found, _ = cv2.findContours(fine, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    corners = [contour[:, 0] for contour in found]  # the first or the last step of a pixel, at its edges
    outlines = [np.where(its % _FINE == _FINE - 1, its + 1, its) / _FINE + (left, top) for its in corners]
    return sorted(outlines, key=len, reverse=True)


def _write_voc(splits: Mapping[str, DatasetFiles], read: Mapping[str, Annotations], folder: Path) -> Counter[str]:
    notes: Counter[str] = Counter()
    taken: set[str] = set()
    for part in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (folder / part).mkdir(parents=True)
    for name, its in read.items():
        names, stems = its.unique_names(), []
        for record in _records(name, its):
            plain = Path(record.file_name.replace("/", "_")).stem
            stem = plain if plain not in taken else f"{name}_{record.image_id}_{plain}"
            taken.add(stem)
            stems.append(stem)
            image = f"{stem}{Path(record.file_name).suffix}"
            _copy(splits[name].image_root / record.file_name, folder / "JPEGImages" / image)
            tree = _xml(record, image, names)
            ElementTree.ElementTree(tree).write(folder / "Annotations" / f"{stem}.xml", encoding="utf-8")
            notes["masks, which Pascal VOC has not, are written as boxes"] += sum(
                bool(instance.segmentation) for instance in record.instances
            )
        if name != ALL:
            text = "".join(f"{stem}\n" for stem in stems)
            (folder / "ImageSets" / "Main" / f"{name}.txt").write_text(text, encoding="utf-8")
    return +notes


def _xml(record: ImageRecord, image: str, names: list[str]) -> ElementTree.Element:
    tree = ElementTree.Element("annotation")
    ElementTree.SubElement(tree, "filename").text = image
    size = ElementTree.SubElement(tree, "size")
    for key, value in (("width", record.width), ("height", record.height), ("depth", 3)):
        ElementTree.SubElement(size, key).text = str(value)
    for instance in record.instances:
        entry = ElementTree.SubElement(tree, "object")
        ElementTree.SubElement(entry, "name").text = names[instance.label - 1]
        ElementTree.SubElement(entry, "difficult").text = str(int(instance.crowd))
        box = ElementTree.SubElement(entry, "bndbox")
        x, y, width, height = instance.bbox
        corners: dict[str, float] = {
            "xmin": x + 1,
            "ymin": y + 1,
            "xmax": x + width,
            "ymax": y + height,
        }  # counted from 1
        for key, place in corners.items():
            ElementTree.SubElement(box, key).text = f"{round(place, 3):.10g}"
    ElementTree.indent(tree)
    return tree


Writer = Callable[[Mapping[str, DatasetFiles], Mapping[str, Annotations], Path], Counter[str]]
WRITERS: dict[str, Writer] = {"coco": _write_coco, "yolo": _write_yolo, "voc": _write_voc}
