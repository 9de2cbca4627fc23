"""The frames nearest to given times, to the bit as decoding from the beginning gives them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np

from hiera_det.data.image_files import MAX_PIXELS
from hiera_det.data.video.clips import END_SLACK
from hiera_det.data.video.decoding import Decoding
from hiera_det.data.video.keyframes import UnsureError, frames_from_a_keyframe
from hiera_det.data.video.opened import BehindTheEndError, Video, errors_of_files, open_video, to_pixels
from hiera_det.data.video.timeline import frame_duration, timed

__all__ = ["read_nearest"]


def read_nearest(path: Path, keyframe: float, wanted: np.ndarray, *, max_pixels: int | None = MAX_PIXELS) -> np.ndarray:
    """Decode, for each time, the frame nearest to it; of two at the same distance the earlier.

    Times before the first frame give the first, times behind the last frame the last. What comes is what decoding from
    the beginning of the file gives, to the bit: a keyframe is started at only where that is certain.

    Args:
        path: the video.
        keyframe: a time that the video has to show, in seconds from the container's start.
        wanted: (T,) ascending times, in the same seconds.
        max_pixels: a video with frames of more is refused before it is decoded.

    Returns:
        (T, H, W, 3) uint8 RGB, turned as the file's display matrix says.

    Raises:
        BehindTheEndError: the keyframe lies behind the end.
        ValueError: there is no video stream, its frames have too many pixels or differ in size, the video is cut off, a
            frame that is wanted is damaged, timestamps are missing or go backward, or the file cannot be decoded.
        OSError: the file cannot be read.
    """
    with errors_of_files(f"video {path} cannot be decoded around {keyframe:.3f} s"):
        found = _find(path, keyframe, wanted, max_pixels)
        pixels = {id(frame): to_pixels(frame) for frame in found.frames}
    shapes = sorted({image.shape for image in pixels.values()})
    if len(shapes) > 1:
        raise ValueError(f"{path}: frames around {keyframe:.3f} s differ in size: {shapes}")
    return np.stack([pixels[id(frame)] for frame in found.frames])  # (T, H, W, 3)


@dataclass
class _Found:
    """Frames for the times wanted.

    Attributes:
        frames: one for each.
        times: their own.
        end: where the last that was decoded ends.
        lost: times of those that could not be decoded.
    """

    frames: list[av.VideoFrame] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    end: float = -np.inf
    lost: list[float] = field(default_factory=list)


def _find(path: Path, keyframe: float, wanted: np.ndarray, max_pixels: int | None) -> _Found:
    with open_video(path, max_pixels) as video:
        start = _from_a_keyframe if wanted[0] > 0 and video.has_times else _from_the_beginning
        found = start(video, wanted)
        if found is not None:
            _check(video, keyframe, wanted, found)
            return found
    with open_video(path, max_pixels) as video:
        found = _from_the_beginning(video, wanted)
        _check(video, keyframe, wanted, found)
        return found


def _from_a_keyframe(video: Video, wanted: np.ndarray) -> _Found | None:
    """None: no keyframe can be started at."""
    try:
        return _select(frames_from_a_keyframe(video, wanted[0]), wanted)
    except (UnsureError, av.FFmpegError):  # what is truly wrong shows from the beginning too
        return None


def _from_the_beginning(video: Video, wanted: np.ndarray) -> _Found:
    decoding = Decoding(video)
    found = _select(timed(video, decoding.frames(video.container.demux(video.stream))), wanted)
    if not found.frames:
        raise ValueError(f"{video.path} has a video stream without frames that can be decoded")
    found.lost = sorted(video.time_of(pts) for pts in decoding.lost)
    return found


def _select(frames: Iterator[tuple[float, av.VideoFrame]], wanted: np.ndarray) -> _Found:
    """Nearest frames; none where none came."""
    found = _Found()
    held: av.VideoFrame | None = None
    last = -np.inf
    for time, frame in frames:
        while len(found.frames) < len(wanted) and wanted[len(found.frames)] <= time:
            goal = wanted[len(found.frames)]
            earlier = held is not None and goal - last <= time - goal
            found.frames.append(held if earlier and held is not None else frame)
            found.times.append(last if earlier else time)
        step = time - last if held is not None else 0.0
        found.end = time + (frame_duration(frame) or step)
        held, last = frame, time
        if len(found.frames) == len(wanted):
            break
    missing = len(wanted) - len(found.frames)
    if held is not None:
        found.frames += [held] * missing
        found.times += [last] * missing
    return found


def _check(video: Video, keyframe: float, wanted: np.ndarray, found: _Found) -> None:
    promised = video.promised_end()
    if promised is not None and found.end < promised - END_SLACK:
        needed = min(max(keyframe, wanted[-1] - END_SLACK), promised)
        if found.end < needed:
            raise ValueError(
                f"{video.path} is cut off: its frames end at {found.end:.3f} s, but {needed:.3f} s is wanted and should"
                f" be there, by the header up to {promised:.3f} s"
            )
    if found.end < keyframe - END_SLACK:
        raise BehindTheEndError(f"{video.path} ends at {found.end:.3f} s, before the keyframe at {keyframe:.3f} s")
    for goal, time in zip(wanted, found.times, strict=True):
        distance, lost = min(((abs(lost - goal), lost) for lost in found.lost), default=(np.inf, np.inf))
        if (distance, lost) < (abs(time - goal), time):
            raise ValueError(f"the frame of {video.path} at {lost:.3f} s is damaged and cannot be decoded")
