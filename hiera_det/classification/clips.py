"""From a video to the input of a classifier of clips."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as nnF
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from hiera_det.data.resize import short_side_size

__all__ = ["ClipProcessor", "read_center_clip"]

RATE = 4  # thirtieths of a second between frames: how the published models were trained on Kinetics
KINETICS_MEAN, KINETICS_STD = 0.45, 0.225  # of each channel, of 0-1 (SlowFast's DATA.MEAN and DATA.STD)


@dataclass(frozen=True)
class ClipProcessor:
    """Resize the short side, cut out the centre, normalise.

    Behaviour matched: the original's examples/inference.ipynb, which takes videos that are square already, and whose
    third standard deviation, 0.255, is taken for a slip: the models were trained by SlowFast with 0.225.

    Attributes:
        side: pixels of the result.
    """

    side: int

    def __call__(self, frames: np.ndarray) -> Tensor:
        """(T, H, W, 3) uint8 RGB to (3, T, side, side) float32."""
        size = short_side_size(frames.shape[1], frames.shape[2], self.side)
        clip = torch.from_numpy(frames).movedim(-1, 1).float() / 255  # (T, 3, H, W)
        clip = nnF.interpolate(clip, size=size, mode="bilinear", align_corners=False)
        clip = F.center_crop(clip, [self.side, self.side])
        return ((clip - KINETICS_MEAN) / KINETICS_STD).transpose(0, 1)


def read_center_clip(path: Path, num_frames: int) -> np.ndarray:
    """The clip around the middle of a video: (num_frames, H, W, 3) uint8 RGB, :data:`RATE` thirtieths apart.

    Of a video that is shorter than the clip, the first and the last frame are repeated.

    Raises:
        OSError: the file cannot be read.
        ValueError: it cannot be decoded, or PyAV is missing.
    """
    try:
        from hiera_det.data.video import clip_offsets, read_nearest, video_duration
    except ModuleNotFoundError as error:
        raise ValueError(f"to read videos, pip install 'hiera_det[features]' ({error})") from error
    middle = video_duration(path) / 2
    return read_nearest(path, middle, middle + clip_offsets(num_frames, RATE))
