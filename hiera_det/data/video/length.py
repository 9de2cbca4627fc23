"""How long a video is: by its frames, not by its header."""

from __future__ import annotations

import heapq
from pathlib import Path

from hiera_det.data.video.clips import END_SLACK
from hiera_det.data.video.opened import Video, errors_of_files, open_video

__all__ = ["promised_duration", "video_duration"]

_DIGITS = 5  # of seconds: FFmpeg rounds the container's start to microseconds
_LONGEST = 30 * 24 * 3600.0  # seconds; damaged headers speak of centuries


def video_duration(path: Path) -> float:
    """Seconds from the container's start to the end of the last frame; the file is read without decoding it.

    Raises:
        ValueError: there is no video stream or no decoder for it, its packets have no timestamps, it lasts longer than
            a month, or the file cannot be opened.
        OSError: the file cannot be read.
    """
    with errors_of_files(f"video {path} cannot be opened"), open_video(path) as video:
        end = round(_last_end(video), _DIGITS)
    if not 0 <= end <= _LONGEST:
        raise ValueError(f"video {path} lasts {end:g} s by its timestamps; they are damaged, re-encode it")
    return end


def promised_duration(path: Path, duration: float) -> float:
    """Seconds that a file would last were it not cut off; of one that is not, or cannot be read, its duration.

    Args:
        path: the video.
        duration: what :func:`video_duration` gives.
    """
    try:
        with errors_of_files(f"video {path} cannot be opened"), open_video(path) as video:
            promised = video.promised_end()
    except (OSError, ValueError):
        return duration
    return duration if promised is None or promised <= duration + END_SLACK else promised


def _last_end(video: Video) -> float:
    stamps = {
        packet.pts: packet.duration or 0
        for packet in video.container.demux(video.stream)
        if packet.pts is not None and not packet.is_discard
    }
    if not stamps:
        raise ValueError(f"{video.path} has no packets with timestamps in its video stream")
    last, *before = heapq.nlargest(2, stamps)
    step = video.time_of(last) - video.time_of(before[0]) if before else video.step()
    return video.time_of(last) + (float(stamps[last] * video.base) or step)
