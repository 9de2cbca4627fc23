"""One small dataset in every format: three images, boxes and masks of two classes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hiera_det.datasets.split import Split

SIZES = {"a.jpg": (64, 48), "b.png": (40, 40), "c.jpg": (50, 30)}  # width, height
# By image, class and corners; "c.jpg" has no objects.
BOXES = {
    "a.jpg": [("cat", (4, 6, 20, 30)), ("dog", (30, 10, 60, 40)), ("cat", (40, 2, 50, 8))],
    "b.png": [("dog", (0, 0, 40, 40))],
    "c.jpg": [],
}
NAMES = ["cat", "dog"]


def draw(folder: Path, names: list[str] | tuple[str, ...] = tuple(SIZES)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", SIZES[name], (90, 120, 30)).save(folder / name)
    return folder


@dataclass
class Truth:
    """What a reader should find: of each image its size and its boxes."""

    sizes: dict[str, tuple[int, int]] = field(default_factory=lambda: dict(SIZES))
    boxes: dict[str, list] = field(default_factory=lambda: {name: list(its) for name, its in BOXES.items()})


def found(split: Split) -> dict[str, list]:
    """Class and corners of the instances, by image."""
    names = {entry["id"]: entry["name"] for entry in split.categories}
    images = {entry["id"]: entry["file_name"] for entry in split.images}
    boxes: dict[str, list] = {name: [] for name in images.values()}
    for entry in split.annotations:
        x, y, w, h = entry["bbox"]
        boxes[images[entry["image_id"]]].append((names[entry["category_id"]], (x, y, x + w, y + h)))
    return {Path(name).name: sorted(its) for name, its in boxes.items()}


def expected(*names: str) -> dict[str, list]:
    return {name: sorted(BOXES[name]) for name in names or SIZES}


def coco(names: list[str], *, root: bool = False) -> dict:
    categories = [{"id": 0, "name": "animals", "supercategory": "none"}] if root else []
    categories += [{"id": i, "name": name, "supercategory": "animals"} for i, name in enumerate(NAMES, 1)]
    images = [
        {"id": i, "file_name": name, "width": SIZES[name][0], "height": SIZES[name][1]} for i, name in enumerate(names)
    ]
    annotations = [
        {"image_id": i, "category_id": NAMES.index(label) + 1, "bbox": [x1, y1, x2 - x1, y2 - y1], "iscrowd": 0}
        | {"area": (x2 - x1) * (y2 - y1), "segmentation": [[x1, y1, x2, y1, x2, y2, x1, y2]]}
        for i, name in enumerate(names)
        for label, (x1, y1, x2, y2) in BOXES[name]
    ]
    return {
        "images": images,
        "annotations": [{"id": i, **its} for i, its in enumerate(annotations, 1)],
        "categories": categories,
    }


def make_coco(folder: Path) -> Path:
    draw(folder / "images")
    (folder / "instances.json").write_text(json.dumps(coco(list(SIZES))))
    return folder


def make_roboflow(folder: Path) -> Path:
    for split, names in {"train": ["a.jpg", "c.jpg"], "valid": ["b.png"]}.items():
        draw(folder / split, names)
        (folder / split / "_annotations.coco.json").write_text(json.dumps(coco(names, root=True)))
    return folder


def make_yolo(folder: Path) -> Path:
    draw(folder / "images")
    (folder / "labels").mkdir()
    for name, its in BOXES.items():
        width, height = SIZES[name]
        lines = [
            f"{NAMES.index(label)} {(x1 + x2) / 2 / width} {(y1 + y2) / 2 / height} {(x2 - x1) / width}"
            f" {(y2 - y1) / height}\n"
            for label, (x1, y1, x2, y2) in its
        ]
        if its:
            (folder / "labels" / name).with_suffix(".txt").write_text("".join(lines))
    (folder / "data.yaml").write_text("train: images\nnames: [cat, dog]\n")
    return folder


def make_voc(folder: Path) -> Path:
    draw(folder / "JPEGImages")
    (folder / "Annotations").mkdir()
    for name, its in BOXES.items():
        objects = "".join(
            f"<object><name>{label}</name><difficult>0</difficult><bndbox><xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin>"
            f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
            for label, (x1, y1, x2, y2) in its
        )
        text = f"<annotation><filename>{name}</filename>{objects}</annotation>"
        (folder / "Annotations" / name).with_suffix(".xml").write_text(text)
    return folder


def make_labelme(folder: Path) -> Path:
    draw(folder)
    for name, its in BOXES.items():
        shapes = [
            {"label": label, "points": [[x2, y1], [x1, y2]], "shape_type": "rectangle", "group_id": None}
            for label, (x1, y1, x2, y2) in its
        ]
        content = {"version": "5.0", "shapes": shapes, "imagePath": name, "imageData": None}
        (folder / name).with_suffix(".json").write_text(json.dumps(content))
    return folder


def make_csv(folder: Path) -> Path:
    draw(folder / "images")
    rows = [f"{name},64,48,{label},{x1},{y1},{x2},{y2}\n" for name in BOXES for label, (x1, y1, x2, y2) in BOXES[name]]
    header = "filename,width,height,class,xmin,ymin,xmax,ymax\n"
    (folder / "labels.csv").write_text(header + "".join(rows) + "c.jpg,,,,,,,\n")
    return folder


def make_masks(folder: Path) -> Path:
    draw(folder / "images")
    for label in NAMES:
        (folder / "masks" / label).mkdir(parents=True)
    for name, its in BOXES.items():
        for label in NAMES:
            width, height = SIZES[name]
            mask = np.zeros((height, width), np.uint8)
            boxes = [box for its_label, box in its if its_label == label]
            for number, (x1, y1, x2, y2) in enumerate(boxes, 1):
                mask[y1:y2, x1:x2] = number
            if boxes:
                Image.fromarray(mask).save((folder / "masks" / label / name).with_suffix(".png"))
    return folder


MAKERS: dict[str, Callable[[Path], Path]] = {
    "COCO": make_coco,
    "YOLO": make_yolo,
    "Pascal VOC": make_voc,
    "LabelMe": make_labelme,
    "CSV": make_csv,
    "masks": make_masks,
}


@pytest.fixture(params=MAKERS)
def made(request, tmp_path) -> tuple[str, Path]:
    """The name of a format and a folder of it."""
    return request.param, MAKERS[request.param](tmp_path / "data")
