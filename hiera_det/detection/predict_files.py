"""Prediction on files: images, folders of images, videos; drawn images and COCO-format results come out."""

from __future__ import annotations

import itertools
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from hiera_det.data.images import read_image
from hiera_det.data.paths import find_files, make_output, read_each
from hiera_det.data.suffixes import VIDEO_SUFFIXES
from hiera_det.data.video_writer import redraw_video
from hiera_det.detection.coco_evaluator import to_coco_results
from hiera_det.detection.predictor import Predictor
from hiera_det.utils.files import atomic_write
from hiera_det.utils.visualize import draw_instances, write_image

__all__ = ["predict"]

logger = logging.getLogger(__name__)


def predict(predictor: Predictor, source: str | Path, output: str | Path) -> list[dict[str, Any]]:
    """Detect on an image, on all images of a folder, or on a video.

    Writes each image with its detections drawn in, under its own name, or ``<name>.mp4`` for a video, and
    ``predictions.json``: COCO results, each with ``file_name`` besides. ``image_id`` is the file's name as a number
    where the names of all images are numbers, as COCO's are, otherwise the image's place in alphabetical order, from
    0; for a video the frame's number, from 0.

    Args:
        predictor: the detector.
        source: an image, a folder or a video.
        output: the folder to write to; it is made.

    Returns:
        The results, as in ``predictions.json``.

    Raises:
        FileNotFoundError: there is no such file, or no image in the folder.
        OSError: the output folder cannot be written to.
        ValueError: the file is of no known kind, cannot be read, or the output would overwrite the input. An image of
            a folder that cannot be read is skipped, with a warning in the log.
    """
    source, output = Path(source), Path(output)
    is_video = source.suffix.lower() in VIDEO_SUFFIXES and source.is_file()
    files = find_files(source, "video" if is_video else "image")
    make_output(output, source)
    if is_video:
        results = _predict_video(predictor, source, output / f"{source.stem}.mp4")
    else:
        results = _predict_images(predictor, files, output)
    with atomic_write(output / "predictions.json") as temporary:
        temporary.write_text(json.dumps(results), encoding="utf-8")
    logger.info("%d detections; images and predictions.json in %s", len(results), output)
    return results


def _predict_images(predictor: Predictor, paths: list[Path], output: Path) -> list[dict]:
    numbers = [int(path.stem) for path in paths if path.stem.isdecimal()]
    ids = dict(zip(paths, numbers if len(set(numbers)) == len(paths) else range(len(paths)), strict=True))
    results: list[dict] = []
    for path, image in read_each(paths, lambda path: np.asarray(read_image(path))):  # (H, W, 3)
        detections = predictor(image)
        results += _results(ids[path], path.name, detections, predictor)
        write_image(output / path.name, draw_instances(image, detections, predictor.class_names))
    return results


def _results(image_id: int, file_name: str, detections: dict[str, Tensor], predictor: Predictor) -> list[dict]:
    results = to_coco_results(image_id, detections, predictor.category_ids)
    return [{"image_id": image_id, "file_name": file_name, **result} for result in results]


def _predict_video(predictor: Predictor, source: Path, target: Path) -> list[dict]:
    results: list[dict] = []
    numbers = itertools.count()

    def draw(seconds: float, frame: np.ndarray) -> np.ndarray:
        detections = predictor(frame)
        results.extend(_results(next(numbers), source.name, detections, predictor))
        return draw_instances(frame, detections, predictor.class_names)

    redraw_video(source, target, draw)
    return results
