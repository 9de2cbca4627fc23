"""All frames of a video, one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from hiera_det.data.image_files import MAX_PIXELS
from hiera_det.data.video.clips import END_SLACK
from hiera_det.data.video.decoding import Decoding
from hiera_det.data.video.opened import Video, errors_of_files, open_video, to_pixels
from hiera_det.data.video.timeline import frame_duration, timed

__all__ = ["OnLost", "frame_count", "read_frames"]

OnLost = Callable[[float, str], None]
"""Called with the seconds at which a frame or what follows is lost, and the reason."""


def frame_count(path: Path) -> int | None:
    """How many frames a video has by its header; None: the header does not say.

    Raises:
        ValueError: there is no video stream or no decoder for it, or the file cannot be opened.
        OSError: the file cannot be read.
    """
    with errors_of_files(f"video {path} cannot be opened"), open_video(path) as video:
        return video.stream.frames or None


def read_frames(
    path: Path, on_lost: OnLost | None = None, *, max_pixels: int | None = MAX_PIXELS
) -> Iterator[tuple[float, np.ndarray]]:
    """Decode all frames of a video, one after another.

    Args:
        path: the video.
        on_lost: told of every frame that cannot be decoded, before the frames behind it come, and of the end of a video
            that is cut off; without it these are errors.
        max_pixels: a video with frames of more is refused before it is decoded.

    Yields:
        Ascending seconds from the container's start, as in :func:`read_nearest`, and the frame (H, W, 3) uint8 RGB,
        turned as the file's display matrix says.

    Raises:
        ValueError: there is no video stream or no frame in it, a frame is damaged or the video is cut off, the first
            frame has no timestamp, or the file cannot be decoded.
        OSError: the file cannot be read.
    """

    def fail(seconds: float, reason: str) -> None:
        raise ValueError(reason)

    with errors_of_files(f"video {path} cannot be decoded"), open_video(path, max_pixels) as video:
        yield from _all_frames(video, on_lost or fail)


def _all_frames(video: Video, on_lost: OnLost) -> Iterator[tuple[float, np.ndarray]]:
    decoding = Decoding(video)
    end = None
    for seconds, frame in timed(video, decoding.frames(video.container.demux(video.stream)), joined=True):
        _tell(video, decoding, seconds, on_lost)
        yield seconds, to_pixels(frame)
        end = seconds + (frame_duration(frame) or video.step())
    if end is None:
        raise ValueError(f"{video.path} has a video stream without frames that can be decoded")
    _tell(video, decoding, np.inf, on_lost)
    promised = video.promised_end()
    if promised is not None and end < promised - END_SLACK:
        on_lost(end, f"{video.path} is cut off: its frames end at {end:.3f} s, but it should last {promised:.3f} s")


def _tell(video: Video, decoding: Decoding, seconds: float, on_lost: OnLost) -> None:
    for time, pts in sorted((video.time_of(pts), pts) for pts in decoding.lost):
        if time < seconds:
            decoding.lost.remove(pts)
            on_lost(time, f"the frame of {video.path} at {time:.3f} s is damaged and cannot be decoded")
