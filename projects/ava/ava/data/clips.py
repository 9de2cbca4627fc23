"""Which frames make up a clip, and the error for a clip that cannot be read."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

import numpy as np

from hiera_det.data.video import NOMINAL_FPS, clip_offsets

__all__ = ["BrokenClip", "ClipSource", "clip_indices"]


class BrokenClip(ValueError):
    """A clip that cannot be read; the message names the video and the second."""


class ClipSource(Protocol):
    """Where clips come from: folders of frames (``FrameFolders``) or video files (``VideoFiles``)."""

    @property
    def videos(self) -> Collection[str]:
        """Ids of the videos that there are."""

    def read(self, video: str, second: float, num_frames: int, rate: int) -> np.ndarray:
        """Read a clip around a keyframe.

        Args:
            video: id of the video.
            second: time of the keyframe, as the annotations count it.
            num_frames: of the clip.
            rate: spacing of the frames in thirtieths of a second; 0 repeats the keyframe.

        Returns:
            (num_frames, H, W, 3) uint8 RGB; the keyframe is sample ``num_frames // 2``.

        Raises:
            ValueError: the video is unknown, or it does not show that second, or it cannot be decoded.
            OSError: a file is missing or cannot be read.
        """


def clip_indices(keyframe: int, length: int, num_frames: int, rate: int, fps: float = NOMINAL_FPS) -> np.ndarray:
    """Indices of a clip's frames in a video of ``length`` frames, clamped at its ends.

    Args:
        keyframe: index of the keyframe.
        length: number of frames of the video.
        num_frames: of the clip.
        rate: spacing in thirtieths of a second; at 30 fps, in frames.
        fps: frames per second of the video; the nearest frame is taken.

    Returns:
        (num_frames,) int64, in 0 … length - 1.
    """
    steps = np.rint(clip_offsets(num_frames, rate) * fps).astype(np.int64)
    return np.clip(keyframe + steps, 0, length - 1)
