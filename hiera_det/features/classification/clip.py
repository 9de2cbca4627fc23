"""The clip of a video that a classifier sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hiera_det.data.video import clip_offsets, read_nearest, video_duration

__all__ = ["read_center_clip"]

RATE = 4  # thirtieths of a second between frames: how the published models were trained on Kinetics


def read_center_clip(path: Path, num_frames: int) -> np.ndarray:
    """The clip around the middle of a video: (num_frames, H, W, 3) uint8 RGB, :data:`RATE` thirtieths apart.

    Of a video that is shorter than the clip, the first and the last frame are repeated.

    Raises:
        OSError: the file cannot be read, or is no regular file.
        ValueError: it cannot be decoded.
    """
    middle = video_duration(path) / 2
    return read_nearest(path, middle, middle + clip_offsets(num_frames, RATE))
