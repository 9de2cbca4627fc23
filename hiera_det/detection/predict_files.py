"""Prediction on files: images, folders of images, videos; drawn images and COCO-format results come out."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hiera_det.data.failures import Failures
from hiera_det.data.paths import drawn_files, find_files, make_output, read_each, write_drawn
from hiera_det.data.pixels import to_pixels
from hiera_det.data.suffixes import VIDEO_SUFFIXES
from hiera_det.data.video_writer import redraw_video
from hiera_det.detection.detections import Detections
from hiera_det.detection.predictor import DetectionPredictor
from hiera_det.utils.files import write_json

__all__ = ["predict"]

logger = logging.getLogger(__name__)


def predict(
    predictor: DetectionPredictor,
    source: str | Path,
    output: str | Path,
    *,
    score_threshold: float = 0.5,
    strict: bool = False,
) -> list[dict[str, Any]]:
    """Detect on an image, on all images of a folder, or on a video.

    Writes each image with its detections drawn in, under its own name (or with ``.png`` behind it where OpenCV does not
    write its format), or ``<name>.mp4`` for a video, and
    ``predictions.json``: COCO results, each with ``file_name`` besides. ``image_id`` is the file's name as a number
    where the names of all images are numbers, as COCO's are, otherwise the image's place in alphabetical order, from
    0; for a video the frame's number, from 0. Frames of a video that cannot be decoded are left out, and listed in
    ``<name>.failed.csv``.

    Args:
        predictor: the detector.
        source: an image, a folder or a video.
        output: the folder to write to; it is made.
        score_threshold: detections with a score above it are drawn and written, 0 to 1.
        strict: what could not be read is an error, once the rest is written.

    Returns:
        The results, as in ``predictions.json``.

    Raises:
        FileNotFoundError: there is no such file, or no image in the folder.
        OSError: the output folder cannot be written to.
        ValueError: the file is of no known kind, cannot be read, or the output would overwrite the input. An image of
            a folder that cannot be read is skipped, with a warning in the log, and so is the drawing of one that cannot
            be written for its name or its size; with ``strict`` what cannot be read is an error at the end.
    """
    source, output = Path(source), Path(output)
    is_video = source.suffix.lower() in VIDEO_SUFFIXES and source.is_file()
    files = find_files(source, "video" if is_video else "image")
    make_output(output, source)
    if is_video:
        failures = Failures(source)
        try:
            results = _predict_video(predictor, source, output / f"{source.stem}.mp4", score_threshold, failures)
        finally:
            failures.write(output / f"{source.stem}.failed.csv")
    else:
        results, skipped = _predict_images(predictor, files, output, score_threshold)
    write_json(output / "predictions.json", results)
    logger.info("%d detections; images and predictions.json in %s", len(results), output)
    if strict and is_video:
        failures.check()
    elif strict and skipped:
        raise ValueError(f"{skipped} of {len(files)} images could not be read (--strict); the rest is written")
    return results


def _predict_images(
    predictor: DetectionPredictor, paths: list[Path], output: Path, score_threshold: float
) -> tuple[list[dict[str, Any]], int]:
    """The results, and how many images could not be read."""
    numbers = [int(path.stem) for path in paths if path.stem.isdecimal()]
    ids = dict(zip(paths, numbers if len(set(numbers)) == len(paths) else range(len(paths)), strict=True))
    results: list[dict[str, Any]] = []
    skipped = len(paths)
    drawn = dict(zip(paths, drawn_files(paths, output), strict=True))
    for path, pixels in read_each(paths, partial(to_pixels, **predictor.reading)):  # (H, W, C)
        found = predictor.predict(pixels, score_threshold=score_threshold)
        results += _results(ids[path], path.name, found)
        write_drawn(drawn[path], np.asarray(found.draw()))
        skipped -= 1
    return results, skipped


def _results(image_id: int, file_name: str, found: Detections) -> list[dict[str, Any]]:
    return [{"image_id": image_id, "file_name": file_name, **result} for result in found.to_coco(image_id)]


def _predict_video(
    predictor: DetectionPredictor, source: Path, target: Path, score_threshold: float, failures: Failures
) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    drawn = 0

    def draw(seconds: float, frame: np.ndarray) -> np.ndarray:
        nonlocal drawn
        found = predictor.predict(frame, score_threshold=score_threshold)
        number = drawn + len(failures.found)  # those that are lost keep their numbers
        results.extend(_results(number, source.name, found))
        drawn += 1
        return np.asarray(found.draw())

    limit = predictor.reading["max_pixels"]
    redraw_video(source, target, draw, partial(failures.add, "frame"), max_pixels=limit)
    return results
