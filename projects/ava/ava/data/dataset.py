"""The dataset of keyframes: clips with the boxes and labels of their persons."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from hiera_det.engine.samplers import drawn
from hiera_det.projects.ava.data.clips import BrokenClip, ClipSource
from hiera_det.projects.ava.data.keyframes import Keyframe, keyframes_from
from hiera_det.projects.ava.data.transforms import ClipSample

__all__ = ["AvaDataset", "BrokenClip", "Keyframe", "ReportingDataset", "keyframes_from"]

logger = logging.getLogger(__name__)

_MAX_BROKEN = 20  # clips in a row


class AvaDataset(Dataset):
    """Clips around keyframes.

    ``dataset[index]`` is for evaluation: a clip that cannot be read is an error. ``dataset[(index, draw)]`` is for
    training: the integer ``draw`` alone seeds the transform's random numbers, and in place of a clip that cannot be
    read one is taken that ``draw`` chooses, with a warning in the log.

    An item is a dict:
        clip: (3, T, H, W) uint8 RGB.
        boxes: (N, 4) float32 xyxy in pixels of the clip; N may be 0 where a crop misses all persons.
        labels: (N, K) float32, 1 for the actions of a person, else 0.
        kept: (N,) int64, which of the keyframe's boxes these are.
        index: of the keyframe that was taken.

    Args:
        keyframes: from :func:`hiera_det.projects.ava.data.keyframes.keyframes_from`.
        source: of the clips.
        transform: of :mod:`hiera_det.projects.ava.data.transforms`.
        num_frames: of a clip.
        rate: spacing of the frames in thirtieths of a second; 0 repeats the keyframe.

    Raises:
        ValueError: there are no keyframes, or the source lacks videos that they are in.
    """

    def __init__(
        self,
        keyframes: Sequence[Keyframe],
        source: ClipSource,
        transform: Callable[[np.ndarray, np.ndarray], ClipSample],
        num_frames: int,
        rate: int,
    ) -> None:
        if not keyframes:
            raise ValueError("a dataset without keyframes, expected at least one")
        self.source = source
        self.transform = transform
        self.num_frames = num_frames
        self.rate = rate
        # A few flat arrays, which worker processes share instead of copying object by object.
        self._names = list(dict.fromkeys(keyframe.video for keyframe in keyframes))
        numbers = {name: number for number, name in enumerate(self._names)}
        self._video = np.array([numbers[keyframe.video] for keyframe in keyframes])
        self._second = np.array([keyframe.second for keyframe in keyframes])
        self._ends = np.cumsum([0] + [len(keyframe.boxes) for keyframe in keyframes])
        self._boxes = np.concatenate([keyframe.boxes for keyframe in keyframes])
        self._labels = np.concatenate([keyframe.labels for keyframe in keyframes]).astype(bool)
        self._scores = np.concatenate([keyframe.scores for keyframe in keyframes])
        missing = [name for name in self._names if name not in source.videos]
        if missing:
            raise ValueError(
                f"{len(missing)} of {len(self._names)} videos are not there, among them {', '.join(missing[:5])}; "
                "hiera-det ava-check lists them all. DATASETS.FRAME_LISTS names the list of TRAIN, then that of TEST"
            )

    def __len__(self) -> int:
        return len(self._video)

    def keyframe(self, index: int) -> Keyframe:
        """The keyframe at ``index``, as it was given."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} in a dataset of {len(self)} keyframes")
        index %= len(self)
        part = slice(self._ends[index], self._ends[index + 1])
        labels = self._labels[part].astype(np.float32)
        video, second = self._names[self._video[index]], float(self._second[index])
        return Keyframe(video, second, self._boxes[part], labels, self._scores[part])

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, Any]:
        if isinstance(key, tuple):
            index, draw = key
            index, frames = self._read_unbroken(index, draw)
        else:
            index, draw = key, 0
            frames = self._read(index)
        keyframe = self.keyframe(index)
        with drawn(draw):
            clip, boxes, kept = self.transform(frames, keyframe.boxes)
        labels = torch.from_numpy(keyframe.labels)[kept]
        return {"clip": clip, "boxes": boxes, "labels": labels, "kept": kept, "index": index}

    def _read(self, index: int) -> np.ndarray:
        """Frames (T, H, W, 3)."""
        keyframe = self.keyframe(index)
        try:
            return self.source.read(keyframe.video, keyframe.second, self.num_frames, self.rate)
        except (OSError, ValueError) as error:
            raise BrokenClip(f"clip of video {keyframe.video} at second {keyframe.second:g}: {error}") from error

    def _read_unbroken(self, index: int, draw: int) -> tuple[int, np.ndarray]:
        generator = torch.Generator().manual_seed(draw)
        for _ in range(_MAX_BROKEN):
            try:
                return index, self._read(index)
            except BrokenClip as error:
                logger.warning("%s; taking another clip in its place", error)
                last = error
            index = int(torch.randint(len(self), (), generator=generator))
        raise BrokenClip(f"{_MAX_BROKEN} clips in a row cannot be read; the last: {last}")


class ReportingDataset(Dataset):
    """A dataset that gives ``{"index", "broken": message}`` for a clip that cannot be read."""

    def __init__(self, dataset: AvaDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        try:
            return self.dataset[index]
        except BrokenClip as error:
            return {"index": index, "broken": str(error)}
