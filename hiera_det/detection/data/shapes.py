"""The "shapes" dataset: drawn circles, squares, triangles and stars on textured backgrounds, in COCO format.

Images are 8-bit RGB JPEG; an image depends on the seed, the split and its own number alone.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pycocotools.mask as mask_util
from PIL import Image

from hiera_det.data.generated import GeneratedSpec, write_generated

__all__ = ["CLASSES", "draw_scene", "write_shapes"]

logger = logging.getLogger(__name__)

CLASSES = ("circle", "square", "triangle", "star")
_SUPERSAMPLE = 4  # shapes are drawn this much larger and averaged down: anti-aliased edges
_MIN_VISIBLE = 0.6  # of a shape's own area, inside the image and not behind another shape
_MAX_SHAPES = 5
_RLE_SHARE = 0.2  # of the instances have an RLE mask instead of polygons


def write_shapes(
    root: str | Path, *, num_train: int = 1500, num_val: int = 200, image_size: int = 128, seed: int = 0
) -> None:
    """Write the dataset to ``root``: ``annotations/instances_{train,val}.json``, ``train/``, ``val/``.

    The folder is written under a temporary name and renamed when complete. If the same dataset is there already,
    this is logged and nothing is written.

    Raises:
        ValueError: a number of images is below 1, or the side below 64 pixels.
        FileExistsError: ``root`` holds something else.
    """
    if num_train < 1 or num_val < 1 or image_size < 64:
        raise ValueError(
            f"num_train={num_train}, num_val={num_val}, image_size={image_size}: "
            "expected at least 1 image in each split and a side of at least 64 pixels"
        )
    root = Path(root).absolute()
    spec = GeneratedSpec(num_train, num_val, image_size, seed)
    if write_generated(root, spec, "shapes.json", "shapes dataset", partial(_write_splits, spec)):
        logger.info("wrote %d training and %d validation images to %s", num_train, num_val, root)


def _write_splits(spec: GeneratedSpec, folder: Path) -> None:
    (folder / "annotations").mkdir()
    for split, (name, count) in enumerate((("train", spec.num_train), ("val", spec.num_val))):
        _write_split(folder, name, count, spec, split)


def _write_split(root: Path, name: str, count: int, spec: GeneratedSpec, split: int) -> None:
    folder = root / name
    folder.mkdir()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    size = spec.image_size
    for number in range(1, count + 1):
        pixels, instances = draw_scene(np.random.default_rng([spec.seed, split, number]), size)
        file_name = f"{number:06d}.jpg"
        Image.fromarray(pixels).save(folder / file_name, quality=95, subsampling=0)
        images.append({"id": number, "file_name": file_name, "height": size, "width": size})
        for instance in instances:
            annotations.append({"id": len(annotations) + 1, "image_id": number, "iscrowd": 0, **instance})
    categories = [{"id": i + 1, "name": label, "supercategory": "shape"} for i, label in enumerate(CLASSES)]
    content = {"info": asdict(spec), "images": images, "annotations": annotations, "categories": categories}
    (root / "annotations" / f"instances_{name}.json").write_text(json.dumps(content), encoding="utf-8")


def draw_scene(rng: np.random.Generator, size: int) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Draw one image.

    Args:
        rng: the source of all its random choices.
        size: side of the image in pixels.

    Returns:
        The image, ``(size, size, 3)`` uint8 RGB, and its instances as COCO annotation fields:
        ``category_id``, ``bbox`` (XYWH, pixels), ``area`` and ``segmentation`` of the visible part.
    """
    image = _background(rng, size)
    colours = [image.mean(axis=(0, 1))]
    labels: list[int] = []
    visible: list[np.ndarray] = []  # masks at the drawing scale, of shapes behind later ones too
    whole: list[int] = []  # area of each shape without the others and beyond the border
    for _ in range(int(rng.integers(1, _MAX_SHAPES + 1))):
        placed = _place(rng, size, visible, whole)
        if placed is None:
            continue
        label, drawn, area = placed
        visible = [mask & ~drawn for mask in visible] + [drawn]
        whole.append(area)
        labels.append(label)
        colours.append(_vivid_colour(rng, colours))
        image = _paint(rng, image, drawn, colours[-1])
    noisy = image + rng.normal(0.0, 4.0, image.shape)
    instances = [_annotation(rng, label, mask) for label, mask in zip(labels, visible, strict=True)]
    return np.clip(noisy + 0.5, 0, 255).astype(np.uint8), instances


def _background(rng: np.random.Generator, size: int) -> np.ndarray:
    """Noise of four scales around a muted colour: (size, size, 3) float, 0-255."""
    image = np.full((size, size, 3), rng.uniform(70, 180)) + rng.uniform(-20, 20, 3)
    for cells, strength in ((2, 22.0), (5, 16.0), (14, 12.0), (40, 8.0)):
        coarse = rng.normal(0.0, strength, (cells, cells, 1)) + rng.normal(0.0, strength / 3, (cells, cells, 3))
        image += cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    return image.clip(0, 255)


def _place(
    rng: np.random.Generator, size: int, visible: list[np.ndarray], whole: list[int]
) -> tuple[int, np.ndarray, int] | None:
    """Choose a shape and a place where every shape stays visible enough; None if no such place was found.

    Returns:
        Class index, mask (S, S) bool at the drawing scale, area in pixels of that scale, border not counted.
    """
    scale = size / 128
    for _ in range(30):
        label = int(rng.integers(len(CLASSES)))
        radius = rng.uniform(13, 33) * scale
        centre = rng.uniform(0.7 * radius, size - 0.7 * radius, 2)
        outline = centre + radius * _outline(CLASSES[label], rng.uniform(0, 2 * np.pi))  # (k, 2)
        drawn = _fill(outline, size)
        area = int(cv2.contourArea(outline.astype(np.float32)) * _SUPERSAMPLE**2)
        if drawn.sum() < _MIN_VISIBLE * area:
            continue
        left = (int((mask & ~drawn).sum()) for mask in visible)
        if all(pixels >= _MIN_VISIBLE * full for pixels, full in zip(left, whole, strict=True)):
            return label, drawn, area
    return None


def _outline(name: str, angle: float) -> np.ndarray:
    """Vertices of a shape around (0, 0), of circumradius about 1, turned by ``angle``: (k, 2)."""
    corners = {"circle": 64, "square": 4, "triangle": 3, "star": 10}[name]
    turns = angle + 2 * np.pi * np.arange(corners) / corners
    radii = np.where(np.arange(corners) % 2 == 0, 1.0, 0.45) if name == "star" else np.ones(corners)
    if name == "circle":
        radii = radii * 0.85  # about the area of the others
    return radii[:, None] * np.stack([np.cos(turns), np.sin(turns)], axis=1)


def _fill(outline: np.ndarray, size: int) -> np.ndarray:
    """Rasterize an outline (k, 2), in pixels, at the drawing scale: (S, S) bool."""
    canvas = np.zeros((size * _SUPERSAMPLE, size * _SUPERSAMPLE), np.uint8)
    bits = 4  # fractional bits of the coordinates; a pixel's centre has whole coordinates in OpenCV
    points = np.round((outline * _SUPERSAMPLE - 0.5) * 2**bits).astype(np.int32)
    cv2.fillPoly(canvas, [points], 1, shift=bits)
    return canvas.astype(bool)


def _coverage(mask: np.ndarray) -> np.ndarray:
    """Share of each pixel that a mask at the drawing scale covers: (size, size) float."""
    size = mask.shape[0] // _SUPERSAMPLE
    return mask.reshape(size, _SUPERSAMPLE, size, _SUPERSAMPLE).mean(axis=(1, 3))


def _vivid_colour(rng: np.random.Generator, taken: list[np.ndarray]) -> np.ndarray:
    """A saturated RGB colour, 0-255, apart from those that the image has already."""
    while True:
        hsv = np.array([[[rng.uniform(0, 360), rng.uniform(0.65, 1.0), rng.uniform(0.55, 1.0)]]], np.float32)
        colour = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0] * 255
        if all(np.linalg.norm(colour - other) > 80 for other in taken):
            return colour


def _paint(rng: np.random.Generator, image: np.ndarray, drawn: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Blend a shape, with a slight shade from top to bottom, over the image."""
    shade = 1 + 0.15 * np.linspace(-1, 1, image.shape[0])[:, None, None] * rng.uniform(-1, 1)
    alpha = _coverage(drawn)[:, :, None]
    return image * (1 - alpha) + colour * shade * alpha


def _annotation(rng: np.random.Generator, label: int, mask: np.ndarray) -> dict[str, Any]:
    """COCO fields of one instance from its visible mask at the drawing scale."""
    pixels = _coverage(mask) >= 0.5
    rle = mask_util.encode(np.asfortranarray(pixels, dtype=np.uint8))
    polygons = _polygons(mask)
    if polygons is None or rng.random() < _RLE_SHARE:
        segmentation: Any = {"size": rle["size"], "counts": rle["counts"].decode("ascii")}
        box = mask_util.toBbox(rle)
    else:
        segmentation = [polygon.round(2).reshape(-1).tolist() for polygon in polygons]
        points = np.concatenate(polygons)
        box = np.concatenate([points.min(axis=0), np.ptp(points, axis=0)])
    return {
        "category_id": label + 1,
        "bbox": [round(float(value), 2) for value in box],
        "area": float(mask_util.area(rle)),
        "segmentation": segmentation,
    }


def _polygons(mask: np.ndarray) -> list[np.ndarray] | None:
    """Outlines of a mask at the drawing scale, in pixels of the image: [(k, 2)]; None if it has a hole."""
    # Trace along pixel corners, not centres: a corner belongs to the mask if one of its four pixels does.
    corners = cv2.dilate(np.pad(mask.astype(np.uint8), (0, 1)), np.ones((2, 2), np.uint8), anchor=(1, 1))
    contours, hierarchy = cv2.findContours(corners, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if any(parent >= 0 for parent in hierarchy[0, :, 3]):
        return None
    smooth = [cv2.approxPolyDP(contour, 0.8, closed=True)[:, 0] for contour in contours]  # (k, 2)
    return [line / _SUPERSAMPLE for line in smooth if len(line) >= 3 and cv2.contourArea(line) >= 16]
