"""Reading video: all frames with their times, those of a clip (the nearest to given times), and the length."""

from hiera_det.data.video.clips import END_SLACK, NOMINAL_FPS, clip_offsets
from hiera_det.data.video.frames import OnLost, frame_count, read_frames
from hiera_det.data.video.length import promised_duration, video_duration
from hiera_det.data.video.nearest import read_nearest
from hiera_det.data.video.opened import BehindTheEndError

__all__ = [
    "END_SLACK",
    "NOMINAL_FPS",
    "BehindTheEndError",
    "OnLost",
    "clip_offsets",
    "frame_count",
    "promised_duration",
    "read_frames",
    "read_nearest",
    "video_duration",
]
