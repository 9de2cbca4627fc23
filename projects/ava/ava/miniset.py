"""A generated set in AVA's formats: figures of ``figures.py``, as JPEG frames and as h264 videos.

A clip depends on the seed, the split and its own number alone.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from hiera_det.data.generated import GeneratedSpec, write_generated
from hiera_det.data.video_writer import write_video
from hiera_det.projects.ava.figures import ACTIONS, Figure, draw_box, draw_frame, make_background, make_figure

__all__ = ["KEYFRAMES", "make_scene", "write_miniset"]

logger = logging.getLogger(__name__)

FPS = 30
FIRST_SECOND = 900  # AVA's
KEYFRAMES = (902, 903)  # seconds, valid ones by SlowFast's rules too
_NUM_FRAMES = 4 * FPS
_MIDDLE = sum(KEYFRAMES) / len(KEYFRAMES) - FIRST_SECOND  # s
_PAIR_SHARE = 0.4  # of the clips show two figures
_IN_PROCESS = 32  # so few clips are not worth the start of processes


def write_miniset(
    root: str | Path, *, num_train: int = 600, num_val: int = 150, image_size: int = 128, seed: int = 0
) -> None:
    """Write the set.

    Below ``root``: ``frames/<video>/<video>_%06d.jpg``, ``videos/<video>.mp4``, ``frame_lists/{train,val}.csv`` and
    ``annotations/``: ``{train,val}.csv``, ``{train,val}_person_boxes.csv``, ``actions.pbtxt``. The folder is written
    under a temporary name and renamed when complete. If the same set is there already, this is logged and nothing is
    written.

    Raises:
        ValueError: a number of clips is below 1, or the side odd or below 64 pixels.
        FileExistsError: ``root`` holds something else.
    """
    if num_train < 1 or num_val < 1 or image_size < 64 or image_size % 2:
        raise ValueError(
            f"num_train={num_train}, num_val={num_val}, image_size={image_size}: "
            "expected at least 1 clip in each split and an even side of at least 64 pixels"
        )
    root = Path(root).absolute()
    spec = GeneratedSpec(num_train, num_val, image_size, seed)
    if write_generated(root, spec, "miniset.json", "mini-set", partial(_write_files, spec)):
        logger.info("wrote %d training and %d validation clips to %s", num_train, num_val, root)


def make_scene(spec: GeneratedSpec, split: int, number: int) -> tuple[np.ndarray, list[Figure], np.random.Generator]:
    """Background and figures of a clip, and the source of what is still to draw."""
    rng = np.random.default_rng([spec.seed, split, number])
    background = make_background(rng, spec.image_size)
    places = [(0.24, 0.36), (0.64, 0.76)] if rng.random() < _PAIR_SHARE else [(0.3, 0.7)]
    return background, [make_figure(rng, place, _MIDDLE) for place in places], rng


def _write_files(spec: GeneratedSpec, folder: Path) -> None:
    for name in ("annotations", "frame_lists", "frames", "videos"):
        (folder / name).mkdir()
    _write_splits(folder, spec)
    items = "".join(f'item {{\n  name: "{name}"\n  id: {number}\n}}\n' for number, name in ACTIONS.items())
    (folder / "annotations" / "actions.pbtxt").write_text(items, encoding="utf-8")


def _write_splits(root: Path, spec: GeneratedSpec) -> None:
    counts = {"train": spec.num_train, "val": spec.num_val}
    jobs = [(root, spec, split, n) for split, count in enumerate(counts.values()) for n in range(1, count + 1)]
    texts: dict[str, list[str]] = {}
    for (_, _, split, _), written in zip(tqdm(jobs, desc="clips", unit="clip"), _run(jobs), strict=True):
        name = list(counts)[split]
        for pattern, lines in written.items():
            texts.setdefault(pattern.format(name), []).extend(lines)
    for path, lines in texts.items():
        header = ["original_vido_id video_id frame_id path labels"] if path.startswith("frame_lists") else []
        (root / path).write_text("".join(f"{line}\n" for line in header + lines), encoding="utf-8")


def _run(jobs: list[tuple[Path, GeneratedSpec, int, int]]) -> Iterator[dict[str, list[str]]]:
    if len(jobs) <= _IN_PROCESS:
        yield from map(_write_clip, jobs)
        return
    with ProcessPoolExecutor(
        os.cpu_count(), get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,)
    ) as pool:
        yield from pool.map(_write_clip, jobs, chunksize=4)


def _write_clip(job: tuple[Path, GeneratedSpec, int, int]) -> dict[str, list[str]]:
    """Write one clip's frames and video; returns the lines of the text files, by file."""
    root, spec, split, number = job
    video = f"{('train', 'val')[split]}_{number:04d}"
    background, figures, rng = make_scene(spec, split, number)
    frames = [draw_frame(background, figures, index / FPS) for index in range(_NUM_FRAMES)]
    paths = [f"{video}/{video}_{index + 1:06d}.jpg" for index in range(_NUM_FRAMES)]
    (root / "frames" / video).mkdir()
    for path, frame in zip(paths, frames, strict=True):
        if not cv2.imwrite(str(root / "frames" / path), frame[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88]):
            raise OSError(f"cannot write {root / 'frames' / path}")
    write_video(root / "videos" / f"{video}.mp4", ((index / FPS, frame) for index, frame in enumerate(frames)))
    truth, found = [], []
    for second in KEYFRAMES:
        boxes = [draw_box(figure, second - FIRST_SECOND, spec.image_size) for figure in figures]
        for person, (figure, box) in enumerate(zip(figures, boxes, strict=True)):
            truth += [f"{video},{second:04d},{_numbers(box)},{action},{person}" for action in figure.actions]
        found += [f"{video},{second:04d},{_numbers(box)},,{score:.6f}" for box, score in _detected(rng, boxes)]
    listed = [f'{video} {number - 1} {index} {path} ""' for index, path in enumerate(paths)]
    return {
        "annotations/{}.csv": truth,
        "annotations/{}_person_boxes.csv": found,
        "frame_lists/{}.csv": listed,
    }


def _detected(rng: np.random.Generator, boxes: list[np.ndarray]) -> list[tuple[np.ndarray, float]]:
    """What a person detector would find: the boxes, moved slightly, and now and then something else."""
    found = []
    for box in boxes:
        sizes = np.tile(box[2:] - box[:2], 2)
        found.append(((box + sizes * rng.normal(0.0, 0.02, 4)).clip(0, 1), rng.uniform(0.85, 1.0)))
    for _ in range(rng.poisson(0.3)):
        corner, size = rng.uniform(0.0, 0.7, 2), rng.uniform(0.1, 0.4, 2)
        found.append((np.concatenate([corner, corner + size]).clip(0, 1), rng.uniform(0.05, 0.85)))
    return found


def _numbers(box: np.ndarray) -> str:
    return ",".join(f"{value:.3f}" for value in box)
