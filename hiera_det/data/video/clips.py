"""Which times a clip shows."""

from __future__ import annotations

import numpy as np

__all__ = ["END_SLACK", "NOMINAL_FPS", "clip_offsets"]

NOMINAL_FPS = 30.0  # a clip's rate counts frames of this frame rate, AVA's, whatever the video's own is

END_SLACK = 0.5  # seconds by which a clip may miss the end of the video: half of what AVA labels at once


def clip_offsets(num_frames: int, rate: int) -> np.ndarray:
    """Seconds from the keyframe to each frame of a clip: (num_frames,) float64, 0 at ``num_frames // 2``.

    Source: ``get_sequence`` of SlowFast (``slowfast/datasets/utils.py``), whose samples these are for an even
    ``num_frames``; for an odd one SlowFast's samples miss the keyframe.

    Raises:
        ValueError: a number of frames below 1, or a rate below 0.
    """
    if num_frames < 1 or rate < 0:
        raise ValueError(
            f"a clip of {num_frames} frames at rate {rate}: expected at least 1 frame and a rate of at least 0"
        )
    return (np.arange(num_frames) - num_frames // 2) * rate / NOMINAL_FPS
