"""All frames of a video with their times, as decoding from the beginning gives them."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

import av

from hiera_det.data.video.opened import Video

__all__ = ["frame_duration", "timed"]

_LOOKAHEAD = 20  # frames; H.264 and HEVC hold back 16 at most
_STRAY = 0.5  # seconds by which a time of another frame may be off


def timed(
    video: Video, frames: Iterable[av.VideoFrame], *, joined: bool = False
) -> Iterator[tuple[float, av.VideoFrame]]:
    """Give decoded frames their times: ascending seconds since the container's start.

    A frame without a time follows the one before it after that one's duration. So does one with a time of another
    frame, which MPEG's streams are read with where a frame begins in the PES packet before its own.

    Args:
        video: open.
        frames: of it, from its beginning, in the order in which they show.
        joined: where timestamps go backward by more, another recording may begin: its frames follow likewise.

    Raises:
        ValueError: the first frame has no time; or they go backward, and not ``joined``.
    """
    if video.times_by_order:
        frames = _sorted(frames)
    previous: int | None = None  # in ticks, as all that follows: their sums are exact
    step, stray, moved = round(video.step() / video.base), _STRAY / video.base, 0
    for frame in frames:
        ticks = None if frame.pts is None else frame.pts + moved
        if previous is None:
            if ticks is None:
                raise ValueError(
                    f"{video.path} has frames without timestamps; remux it, for example with ffmpeg to .mp4"
                )
        elif ticks is None or (video.times_stray and previous - stray <= ticks <= previous):
            ticks = previous + step
        elif ticks < previous:
            if not joined:
                raise ValueError(
                    f"timestamps of {video.path} go backward, from {video.time_of(previous):.3f} s to"
                    f" {video.time_of(ticks):.3f} s; re-encode it, for example with"
                    " ffmpeg -i IN -vf setpts=N/FRAME_RATE/TB OUT.mp4"
                )
            moved += previous + step - ticks
            ticks = previous + step
        yield video.time_of(ticks), frame
        previous, step = ticks, frame.duration or step


def frame_duration(frame: av.VideoFrame) -> float:
    """Seconds for which a frame stands by its own account; 0: it does not say."""
    return float((frame.duration or 0) * (frame.time_base or 0))


def _sorted(frames: Iterable[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    """Frames in the order given, with their timestamps sorted."""
    held: list[av.VideoFrame] = []
    stamps: list[int] = []
    for frame in frames:
        if frame.pts is None:  # it takes the next that is free
            frame.pts = max(stamps, default=0)
        held.append(frame)
        heapq.heappush(stamps, frame.pts)
        if len(held) > _LOOKAHEAD:
            yield _stamped(held.pop(0), heapq.heappop(stamps))
    for frame in held:
        yield _stamped(frame, heapq.heappop(stamps))


def _stamped(frame: av.VideoFrame, pts: int) -> av.VideoFrame:
    frame.pts = pts
    return frame
