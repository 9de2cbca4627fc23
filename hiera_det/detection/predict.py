"""Prediction on files: images, folders of images, videos; drawn pictures and COCO-format results come out."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from torch import Tensor
from tqdm import tqdm

from hiera_det.data.images import UnreadableImageError, read_image
from hiera_det.data.paths import find_files, make_output
from hiera_det.data.suffixes import VIDEO_SUFFIXES
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
    logger.info("%d detections; pictures and predictions.json in %s", len(results), output)
    return results


def _predict_images(predictor: Predictor, paths: list[Path], output: Path) -> list[dict]:
    numbered = all(path.stem.isdecimal() for path in paths) and len({int(path.stem) for path in paths}) == len(paths)
    results: list[dict] = []
    unreadable = []
    for place, path in enumerate(tqdm(paths, desc="images", disable=len(paths) == 1)):
        try:
            image = np.asarray(read_image(path))  # (H, W, 3)
        except UnreadableImageError as error:
            logger.warning("skipped: %s", error)
            unreadable.append(path)
            continue
        detections = predictor(image)
        results += _results(int(path.stem) if numbered else place, path.name, detections, predictor)
        write_image(output / path.name, draw_instances(image, detections, predictor.class_names))
    if len(unreadable) == len(paths):
        raise ValueError(f"none of the {len(paths)} images can be read, such as {unreadable[0]}")
    return results


def _results(image_id: int, file_name: str, detections: dict[str, Tensor], predictor: Predictor) -> list[dict]:
    results = to_coco_results(image_id, detections, predictor.category_ids)
    return [{"image_id": image_id, "file_name": file_name, **result} for result in results]


def _predict_video(predictor: Predictor, source: Path, target: Path) -> list[dict]:
    results: list[dict] = []
    writer = None
    capture = cv2.VideoCapture(str(source))
    rate = capture.get(cv2.CAP_PROP_FPS) or 25.0
    total = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    with atomic_write(target) as temporary:
        try:
            for index, frame in enumerate(tqdm(_frames(capture), desc="frames", total=max(total, 0) or None)):
                detections = predictor(frame)
                results += _results(index, source.name, detections, predictor)
                if writer is None:
                    writer = _open_video(temporary, (frame.shape[1], frame.shape[0]), rate)
                writer.write(cv2.cvtColor(draw_instances(frame, detections, predictor.class_names), cv2.COLOR_RGB2BGR))
        finally:
            capture.release()
            if writer is not None:
                writer.release()
        if writer is None:
            raise ValueError(f"{source} ({source.stat().st_size} bytes) cannot be decoded as a video")
    return results


def _open_video(path: Path, size: tuple[int, int], rate: float) -> cv2.VideoWriter:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), rate, size)
    if not writer.isOpened():
        raise ValueError(f"OpenCV cannot write {size[0]}x{size[1]} video to {path}")
    return writer


def _frames(capture: cv2.VideoCapture) -> Iterator[np.ndarray]:
    """Frames (H, W, 3) uint8, RGB."""
    while True:
        there, frame = capture.read()
        if not there:
            return
        yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
