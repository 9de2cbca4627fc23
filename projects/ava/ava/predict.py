"""Prediction on a video: persons at every second, their actions, a drawn video, AVA's CSV and JSON."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from tqdm import tqdm

from hiera_det.projects.ava.data.videos import VideoFiles
from hiera_det.projects.ava.formats import Rows, write_results
from hiera_det.projects.ava.predictor import ActionPredictor
from hiera_det.utils.files import make_folder, written_aside
from hiera_det.utils.visualize import draw_instances

__all__ = ["Persons", "persons_of", "predict_video"]

logger = logging.getLogger(__name__)

Persons = Callable[[float, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From a second and its frame (H, W, 3) RGB to boxes (N, 4) in [0, 1] and their scores (N,)."""
SHOWN_ACTIONS = 3


@dataclass
class Moment:
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
) -> list[Moment]:
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
    moments = []
    for second in tqdm(_whole_seconds(path) if seconds is None else seconds, desc="seconds"):
        frames = source.read(path.stem, second, predictor.num_frames, predictor.rate)  # (T, H, W, 3)
        boxes, scores = persons(second, frames[len(frames) // 2])
        moments.append(Moment(second, boxes, scores, predictor(frames, boxes)))
    names = list(predictor.label_map.values())
    write_results(output / f"{path.stem}.csv", _rows(path.stem, moments, list(predictor.label_map)))
    with written_aside(output / f"{path.stem}.json") as aside:
        aside.write_text(json.dumps([_entry(moment, names, min_score) for moment in moments], indent=1), "utf-8")
    _draw(path, output / f"{path.stem}.mp4", moments, names, min_score)
    logger.info("%d persons in %d seconds; %s", sum(len(m.boxes) for m in moments), len(moments), output)
    return moments


def _whole_seconds(path: Path) -> list[float]:
    try:
        with av.open(str(path)) as container:
            duration = (container.duration or 0) / av.time_base
    except av.FFmpegError as error:
        raise ValueError(
            f"{path} ({path.stat().st_size} bytes) cannot be decoded as a video: {error.strerror}"
        ) from error
    return [float(second) for second in range(max(int(duration), 1))]


def _rows(video: str, moments: list[Moment], class_ids: list[int]) -> Rows:
    counts = [moment.probabilities.size for moment in moments]
    return Rows(
        [video],
        np.zeros(sum(counts), np.int32),
        np.repeat([moment.second for moment in moments], counts),
        np.concatenate([np.repeat(moment.boxes, len(class_ids), axis=0).reshape(-1, 4) for moment in moments]),
        np.concatenate([np.tile(np.array(class_ids, np.int32), len(moment.boxes)) for moment in moments]),
        np.concatenate([moment.probabilities.reshape(-1).astype(np.float64) for moment in moments]),
    )


def _best(probabilities: np.ndarray, names: list[str], min_score: float) -> list[tuple[str, float]]:
    """Actions of one person of that score or more, best first."""
    order = np.argsort(-probabilities, kind="stable")
    return [(names[k], float(probabilities[k])) for k in order if probabilities[k] >= min_score]


def _entry(moment: Moment, names: list[str], min_score: float) -> dict[str, Any]:
    persons = [
        {"box": box.tolist(), "score": float(score), "actions": dict(_best(probabilities, names, min_score))}
        for box, score, probabilities in zip(moment.boxes, moment.scores, moment.probabilities, strict=True)
    ]
    return {"second": moment.second, "persons": persons}


def _draw(source: Path, target: Path, moments: list[Moment], names: list[str], min_score: float) -> None:
    """The video, with the persons of the nearest moment, if that is within half a second."""
    with written_aside(target) as aside:
        writer = None
        try:
            for time, rate, frame in _timed_frames(source):
                if writer is None:
                    size = (frame.shape[1], frame.shape[0])
                    writer = cv2.VideoWriter(str(aside), cv2.VideoWriter.fourcc(*"mp4v"), rate, size)
                near = min(moments, key=lambda moment: abs(moment.second - time))
                if abs(near.second - time) <= 0.5:
                    frame = _draw_moment(frame, near, names, min_score)
                writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        finally:
            if writer is not None:
                writer.release()


def _draw_moment(frame: np.ndarray, moment: Moment, names: list[str], min_score: float) -> np.ndarray:
    height, width = frame.shape[:2]
    texts = [
        ", ".join(f"{name} {100 * score:.0f}%" for name, score in _best(p, names, min_score)[:SHOWN_ACTIONS]) or "-"
        for p in moment.probabilities
    ]
    boxes = moment.boxes * [width, height, width, height]
    return draw_instances(frame, {"boxes": boxes, "labels": np.arange(1, len(boxes) + 1)}, texts)


def _timed_frames(path: Path) -> Iterator[tuple[float, float, np.ndarray]]:
    """Time in seconds from the start, frames per second, and the frame (H, W, 3) uint8 RGB."""
    capture = cv2.VideoCapture(str(path))
    rate = capture.get(cv2.CAP_PROP_FPS) or 30.0
    try:
        index = 0
        while True:
            there, frame = capture.read()
            if not there:
                return
            yield index / rate, rate, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            index += 1
    finally:
        capture.release()
