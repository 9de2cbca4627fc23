"""The files of a prediction on a video: a drawn video, AVA's CSV and a JSON."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hiera_det.data.failures import Failures
from hiera_det.data.paths import make_output
from hiera_det.data.video_writer import redraw_video
from hiera_det.projects.ava.formats import Rows, write_results
from hiera_det.projects.ava.persons import PersonDetector
from hiera_det.projects.ava.predictor import ActionPredictor
from hiera_det.projects.ava.second import SecondPrediction
from hiera_det.utils.files import write_json
from hiera_det.utils.visualize import draw_instances

__all__ = ["predict"]

logger = logging.getLogger(__name__)

SHOWN_ACTIONS = 3


def predict(
    predictor: ActionPredictor,
    video: str | Path,
    output: str | Path,
    *,
    boxes: str | Path | None = None,
    detector: PersonDetector | None = None,
    min_person_score: float = 0.8,
    min_score: float = 0.3,
    strict: bool = False,
) -> list[SecondPrediction]:
    """Predict, and write ``<name>.mp4``, ``<name>.csv`` (AVA's results) and ``<name>.json`` to a folder.

    Seconds and frames that cannot be read are left out, and listed in ``<name>.failed.csv``.

    Args:
        predictor: of actions.
        video: the file.
        output: the folder to write to; it is made.
        boxes: see :meth:`~hiera_det.projects.ava.predictor.ActionPredictor.predict`.
        detector: likewise.
        min_person_score: likewise.
        min_score: actions below it are not drawn, nor in the JSON.
        strict: what could not be read is an error, once the rest is written.

    Raises:
        FileNotFoundError: there is no such video.
        ValueError, OSError: no second of the video can be decoded, it lies in the folder, the persons cannot be had, or
            the folder cannot be written to.
    """
    video, output = Path(video), Path(output)
    if not video.is_file():
        raise FileNotFoundError(f"no video at {video}")
    make_output(output, video)
    failures = Failures(video)
    found = predictor.predict(
        video,
        boxes=boxes,
        detector=detector,
        min_person_score=min_person_score,
        on_lost=partial(failures.add, "second"),
    )
    write_results(output / f"{video.stem}.csv", _rows(video.stem, found, predictor.category_ids))
    write_json(output / f"{video.stem}.json", [_entry(prediction, min_score) for prediction in found], indent=1)
    try:
        _draw(video, output / f"{video.stem}.mp4", found, min_score, failures, predictor.max_pixels)
    finally:
        failures.write(output / f"{video.stem}.failed.csv")
    logger.info("%d persons in %d seconds; %s", sum(len(prediction.boxes) for prediction in found), len(found), output)
    if strict:
        failures.check()
    return found


def _rows(video: str, found: Sequence[SecondPrediction], category_ids: list[int]) -> Rows:
    counts = [prediction.probabilities.size for prediction in found]
    return Rows(
        [video],
        np.zeros(sum(counts), np.int32),
        np.repeat([prediction.second for prediction in found], counts),
        np.concatenate([np.repeat(prediction.boxes, len(category_ids), axis=0).reshape(-1, 4) for prediction in found]),
        np.concatenate([np.tile(np.array(category_ids, np.int32), len(prediction.boxes)) for prediction in found]),
        np.concatenate([prediction.probabilities.reshape(-1).astype(np.float64) for prediction in found]),
    )


def _entry(prediction: SecondPrediction, min_score: float) -> dict[str, Any]:
    persons = [
        {"box": box.tolist(), "score": float(score), "actions": actions}
        for box, score, actions in zip(prediction.boxes, prediction.scores, prediction.actions(min_score), strict=True)
    ]
    return {"second": prediction.second, "persons": persons}


def _draw(
    source: Path,
    target: Path,
    found: Sequence[SecondPrediction],
    min_score: float,
    failures: Failures,
    max_pixels: int,
) -> None:
    """Write the video with the persons of the nearest second drawn in, where that is within half a second."""

    def draw(time: float, frame: np.ndarray) -> np.ndarray:
        nearest = min(found, key=lambda prediction: abs(prediction.second - time))
        near = abs(nearest.second - time) <= 0.5
        return _draw_persons(frame, nearest, min_score) if near else frame

    redraw_video(source, target, draw, partial(failures.add, "frame"), max_pixels=max_pixels)


def _draw_persons(frame: np.ndarray, prediction: SecondPrediction, min_score: float) -> np.ndarray:
    height, width = frame.shape[:2]
    texts = [
        ", ".join(f"{name} {100 * score:.0f}%" for name, score in list(actions.items())[:SHOWN_ACTIONS]) or "-"
        for actions in prediction.actions(min_score)
    ]
    boxes = prediction.boxes * [width, height, width, height]
    return draw_instances(frame, {"boxes": boxes, "labels": np.arange(1, len(boxes) + 1)}, texts)
