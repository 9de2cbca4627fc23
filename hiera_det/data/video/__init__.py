"""Reading video: all frames with their times, those of a clip (the nearest to given times), and the length."""

from hiera_det.data.video.clips import END_SLACK, NOMINAL_FPS, clip_offsets
from hiera_det.data.video.frames import frame_count, read_frames
from hiera_det.data.video.length import video_duration, video_end
from hiera_det.data.video.nearest import read_nearest

__all__ = [
    "END_SLACK",
    "NOMINAL_FPS",
    "clip_offsets",
    "frame_count",
    "read_frames",
    "read_nearest",
    "video_duration",
    "video_end",
]
