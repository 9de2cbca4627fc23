"""How long a video is: by its frames, not by its header."""

from __future__ import annotations

import heapq
from pathlib import Path

from hiera_det.data.video.clips import END_SLACK
from hiera_det.data.video.decoding import Decoding
from hiera_det.data.video.opened import Video, errors_of_files, open_video
from hiera_det.data.video.timeline import frame_duration, timed

__all__ = ["promised_duration", "video_duration"]

_DIGITS = 5  # of seconds: FFmpeg rounds the container's start to microseconds
_LONGEST = 30 * 24 * 3600.0  # seconds; damaged headers speak of centuries


def video_duration(path: Path) -> float:
    """Seconds from the container's start to the end of the last frame.

    The file is read without decoding it, but where it does not tell the times of all frames.

    Raises:
        ValueError: there is no video stream or no decoder for it, its packets have no timestamps, it lasts longer than
            a month, or the file cannot be opened.
        OSError: the file cannot be read.
    """
    with errors_of_files(f"video {path} cannot be opened"):
        with open_video(path) as video:
            end = _last_end(video)
        if end is None:
            with open_video(path) as video:
                end = _last_decoded_end(video)
    end = round(end, _DIGITS)
    if not 0 <= end <= _LONGEST:
        raise ValueError(f"video {path} lasts {end:g} s by its timestamps; they are damaged, re-encode it")
    return end


def promised_duration(path: Path, duration: float) -> float:
    """Seconds that a file would last were it not cut off; of one that is not, or cannot be read, its duration.

    Headers that speak of more than a month are not believed.

    Args:
        path: the video.
        duration: what :func:`video_duration` gives.
    """
    try:
        with errors_of_files(f"video {path} cannot be opened"), open_video(path) as video:
            promised = video.promised_end()
    except (OSError, ValueError):
        return duration
    return duration if promised is None or not duration + END_SLACK < promised <= _LONGEST else promised


def _last_end(video: Video) -> float | None:
    """By the packets; None: some have no time, or that of another."""
    packets = (packet for packet in video.container.demux(video.stream) if packet.size and not packet.is_discard)
    durations: dict[int, int] = {}
    amiss = False
    for packet in packets:
        if packet.pts is None or (video.times_stray and packet.pts in durations):
            amiss = True
        else:
            durations[packet.pts] = packet.duration or 0
    if not durations:
        raise ValueError(f"{video.path} has no packets with timestamps in its video stream")
    if amiss:
        return None
    last, *before = heapq.nlargest(2, durations)
    step = video.time_of(last) - video.time_of(before[0]) if before else video.step()
    return video.time_of(last) + (float(durations[last] * video.base) or step)


def _last_decoded_end(video: Video) -> float:
    frames = Decoding(video).frames(video.container.demux(video.stream))
    return max(
        (time + (frame_duration(frame) or video.step()) for time, frame in timed(video, frames, joined=True)),
        default=0.0,
    )
