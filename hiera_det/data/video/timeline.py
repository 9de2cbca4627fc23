"""All frames of a video with their times, as decoding from the beginning gives them."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator

import av

from hiera_det.data.video.opened import Video

__all__ = ["frame_duration", "timed"]

_LOOKAHEAD = 30  # frames; H.264 and HEVC hold back 16 at most
_STRAY = 0.5  # seconds by which a time of another frame may be off


def timed(
    video: Video, frames: Iterable[av.VideoFrame], *, joined: bool = False
) -> Iterator[tuple[float, av.VideoFrame]]:
    """Give decoded frames their times: ascending seconds since the container's start.

    A frame without a time follows the one before it after that one's duration. So do frames with times of others, which
    MPEG's streams are read with where a frame begins in the PES packet before its own: the times behind them agree.

    Args:
        video: open.
        frames: of it, from its beginning, in the order in which they show.
        joined: where timestamps go backward for good, another recording begins: its frames follow likewise.

    Raises:
        ValueError: the first frame has no time; or they go backward, and not ``joined``.
    """
    clock = _Clock(video, joined)
    ahead = _Ahead(_sorted(frames) if video.times_by_order else frames)
    for frame in ahead:
        yield video.time_of(clock.tick(frame, ahead)), frame


class _Clock:
    """Times of frames one after another, in ticks, whose sums are exact."""

    def __init__(self, video: Video, joined: bool) -> None:
        self.video, self.joined = video, joined
        self.previous: int | None = None
        self.step = round(video.step() / video.base)
        self.moved = 0
        self.leapt = False  # the previous frame came later than durations lead to

    def tick(self, frame: av.VideoFrame, ahead: _Ahead) -> int:
        """The time of the next frame; ``ahead`` has those behind it."""
        given = self._given(frame)
        if self.previous is None:
            if given is None:
                path = self.video.path
                raise ValueError(f"{path} has frames without timestamps; remux it, such as with ffmpeg to .mp4")
            ticks = given
        elif given is None:
            ticks = self.previous + self.step
        elif given > self.previous or (given == self.previous and not self.video.times_stray):
            ticks = given
        else:
            ticks = self._mend(self.previous, given, frame, ahead)
        self.leapt = self.previous is not None and ticks > self.previous + 1.5 * self.step
        self.previous, self.step = ticks, frame.duration or self.step
        return ticks

    def _given(self, frame: av.VideoFrame) -> int | None:
        return None if frame.pts is None else frame.pts + self.moved

    def _mend(self, previous: int, given: int, frame: av.VideoFrame, ahead: _Ahead) -> int:
        """The time of a frame whose own is not behind that of the frame before it."""
        expected = previous + self.step
        coming = ahead.look()
        if self.video.times_stray and previous - given <= _STRAY / self.video.base:
            if not self.leapt and (len(coming) < _LOOKAHEAD or self._agree(expected, frame, coming)):
                return expected
        elif not self.joined:
            raise ValueError(
                f"timestamps of {self.video.path} go backward, from {self.video.time_of(previous):.3f} s to"
                f" {self.video.time_of(given):.3f} s; re-encode it, for example with"
                " ffmpeg -i IN -vf setpts=N/FRAME_RATE/TB OUT.mp4"
            )
        if any((time := self._given(one)) is not None and time > previous for one in coming):
            return previous  # it was that one's time that was wrong
        self.moved += expected - given
        return expected

    def _agree(self, expected: int, frame: av.VideoFrame, coming: list[av.VideoFrame]) -> bool:
        """Whether a time that comes is what durations lead to."""
        for one in coming:
            expected += frame.duration or self.step
            given = self._given(one)
            if given is not None and given >= expected - self.step / 2:
                return True
            frame = one
        return False


class _Ahead:
    """Frames one after another, of which the next ones can be looked at."""

    def __init__(self, frames: Iterable[av.VideoFrame]) -> None:
        self._frames = iter(frames)
        self._seen: deque[av.VideoFrame] = deque()

    def __iter__(self) -> Iterator[av.VideoFrame]:
        while self.look(1):
            yield self._seen.popleft()

    def look(self, count: int = _LOOKAHEAD) -> list[av.VideoFrame]:
        """So many that come next; fewer at the end."""
        while len(self._seen) < count and (frame := next(self._frames, None)) is not None:
            self._seen.append(frame)
        return list(self._seen)


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
