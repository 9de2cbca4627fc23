"""Prediction on a video: persons at every second, their actions, a drawn video, AVA's CSV and JSON."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from hiera_det.data.video import video_duration
from hiera_det.data.video_writer import redraw_video
from hiera_det.projects.ava.data.videos import VideoFiles
from hiera_det.projects.ava.formats import Rows, write_results
from hiera_det.projects.ava.predictor import ActionPredictor
from hiera_det.utils.files import atomic_write, make_folder
from hiera_det.utils.visualize import draw_instances

__all__ = ["Persons", "persons_of", "predict_video"]

logger = logging.getLogger(__name__)

Persons = Callable[[float, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From a second and its frame (H, W, 3) RGB to boxes (N, 4) in [0, 1] and their scores (N,)."""
SHOWN_ACTIONS = 3


@dataclass
class SecondPrediction:
    """The persons of one second and the probabilities (N, K) of their actions."""

    second: float
    boxes: np.ndarray
    scores: np.ndarray
    probabilities: np.ndarray


def persons_of(rows: Rows, video: str, min_score: float) -> tuple[list[float], Persons]:
    """Persons as a file of boxes has them: its seconds of a video, and what gives their boxes.

    Raises:
        ValueError: the file has no box of this video of that score or more.
    """
    mine = np.zeros(len(rows), bool)
    if video in rows.videos:
        mine = (rows.video == rows.videos.index(video)) & (rows.score >= min_score)
    if not mine.any():
        raise ValueError(
            f"no person box of video {video!r} with a score of {min_score:g} or more; the file has {len(rows)} boxes of"
            f" {', '.join(rows.videos[:5]) or 'no video'}"
        )

    def persons(second: float, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        here = mine & (rows.second == second)
        return rows.boxes[here], rows.score[here]

    return sorted(set(rows.second[mine].tolist())), persons


def predict_video(
    predictor: ActionPredictor,
    path: str | Path,
    output: str | Path,
    persons: Persons,
    seconds: list[float] | None = None,
    *,
    min_score: float = 0.3,
) -> list[SecondPrediction]:
    """Predict, and write ``<name>.mp4``, ``<name>.csv`` (AVA's results) and ``<name>.json`` to a folder.

    Args:
        predictor: of actions.
        path: the video.
        output: the folder to write to; it is made.
        persons: who is there.
        seconds: to classify, in the video's time; None: every whole second.
        min_score: actions below it are not drawn, nor in the JSON.

    Raises:
        FileNotFoundError: there is no such video.
        ValueError, OSError: it cannot be decoded, or the folder cannot be written to.
    """
    path, output = Path(path), make_folder(output, "output folder")
    if not path.is_file():
        raise FileNotFoundError(f"no video at {path}")
    if (output / f"{path.stem}.mp4").resolve() == path.resolve():
        raise ValueError(f"output folder {output} is where the video lies: it would be overwritten")
    source = VideoFiles({path.stem: path})
    found = []
    for second in tqdm(_whole_seconds(path) if seconds is None else seconds, desc="seconds"):
        frames = source.read(path.stem, second, predictor.num_frames, predictor.rate)  # (T, H, W, 3)
        boxes, scores = persons(second, frames[len(frames) // 2])
        found.append(SecondPrediction(second, boxes, scores, predictor(frames, boxes)))
    names = list(predictor.label_map.values())
    write_results(output / f"{path.stem}.csv", _rows(path.stem, found, list(predictor.label_map)))
    entries = [_entry(prediction, names, min_score) for prediction in found]
    with atomic_write(output / f"{path.stem}.json") as temporary:
        temporary.write_text(json.dumps(entries, indent=1), encoding="utf-8")
    _draw(path, output / f"{path.stem}.mp4", found, names, min_score)
    logger.info("%d persons in %d seconds; %s", sum(len(prediction.boxes) for prediction in found), len(found), output)
    return found


def _whole_seconds(path: Path) -> list[float]:
    return [float(second) for second in range(max(int(video_duration(path)), 1))]


def _rows(video: str, found: list[SecondPrediction], class_ids: list[int]) -> Rows:
    counts = [prediction.probabilities.size for prediction in found]
    return Rows(
        [video],
        np.zeros(sum(counts), np.int32),
        np.repeat([prediction.second for prediction in found], counts),
        np.concatenate([np.repeat(prediction.boxes, len(class_ids), axis=0).reshape(-1, 4) for prediction in found]),
        np.concatenate([np.tile(np.array(class_ids, np.int32), len(prediction.boxes)) for prediction in found]),
        np.concatenate([prediction.probabilities.reshape(-1).astype(np.float64) for prediction in found]),
    )


def _best(probabilities: np.ndarray, names: list[str], min_score: float) -> list[tuple[str, float]]:
    """Actions of one person of that score or more, best first."""
    order = np.argsort(-probabilities, kind="stable")
    return [(names[k], float(probabilities[k])) for k in order if probabilities[k] >= min_score]


def _entry(prediction: SecondPrediction, names: list[str], min_score: float) -> dict[str, Any]:
    persons = [
        {"box": box.tolist(), "score": float(score), "actions": dict(_best(probabilities, names, min_score))}
        for box, score, probabilities in zip(prediction.boxes, prediction.scores, prediction.probabilities, strict=True)
    ]
    return {"second": prediction.second, "persons": persons}


def _draw(source: Path, target: Path, found: list[SecondPrediction], names: list[str], min_score: float) -> None:
    """Write the video with the persons of the nearest second drawn in, where that is within half a second."""

    def draw(time: float, frame: np.ndarray) -> np.ndarray:
        nearest = min(found, key=lambda prediction: abs(prediction.second - time))
        near = abs(nearest.second - time) <= 0.5
        return _draw_persons(frame, nearest, names, min_score) if near else frame

    redraw_video(source, target, draw)


def _draw_persons(frame: np.ndarray, prediction: SecondPrediction, names: list[str], min_score: float) -> np.ndarray:
    height, width = frame.shape[:2]
    texts = [
        ", ".join(f"{name} {100 * score:.0f}%" for name, score in _best(p, names, min_score)[:SHOWN_ACTIONS]) or "-"
        for p in prediction.probabilities
    ]
    boxes = prediction.boxes * [width, height, width, height]
    return draw_instances(frame, {"boxes": boxes, "labels": np.arange(1, len(boxes) + 1)}, texts)
