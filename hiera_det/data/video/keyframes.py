"""Starting at a keyframe, where what comes is certain to be what decoding from the beginning gives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, dropwhile

import av
import numpy as np

from hiera_det.data.video.decoding import Decoding
from hiera_det.data.video.opened import Video

__all__ = ["UnsureError", "frames_from_a_keyframe"]

_BACK_OFF = (0.0, 1.0, 4.0, 16.0)  # seconds to seek further back each time that a seek lands behind its target
_MOST_KEPT = 1 << 28  # bytes of packets behind a keyframe
_NOISE = 0.01  # ticks of the stream's clock that rounding may take from a target


class UnsureError(Exception):
    """What was decoded from a keyframe on may differ from what decoding from the beginning gives."""


def frames_from_a_keyframe(video: Video, time: float) -> Iterator[tuple[float, av.VideoFrame]]:
    """Frames with their times from a keyframe on that shows at a time or before.

    Args:
        video: just opened.
        time: seconds from the container's start.

    Raises:
        UnsureError: there is no such keyframe, or what comes is not certain; it may come after some frames.
    """
    video.leave_times()
    packets = _seek(video, time) if video.has_index else _walk(video, time)
    first = next(packets, None)
    if first is None or first.pts is None or video.time_of(first.pts) > time:
        raise UnsureError
    return _certain(video, first, packets)


def _seek(video: Video, time: float) -> Iterator[av.Packet]:
    """Packets from a keyframe on that shows at a time or before; none where no such is found."""
    target = int((video.begin + time) / video.base + _NOISE)
    for back in _BACK_OFF:
        video.container.seek(target, stream=video.stream)
        packets = _from_keyframe_on(video.container.demux(video.stream))
        first = next(packets, None)
        if first is None or first.pts is None:
            break
        if video.time_of(first.pts) <= time:
            return chain([first], packets)
        target = min(target, first.pts if first.dts is None else first.dts) - 1 - int(back / video.base)
    return iter(())


def _walk(video: Video, time: float) -> Iterator[av.Packet]:
    """Packets from the last keyframe on that shows at a time or before, by reading all before it without decoding."""
    kept: list[av.Packet] = []
    size = 0
    latest = -np.inf
    packets = video.container.demux(video.stream)
    for packet in packets:
        stamp = packet.pts if packet.dts is None else packet.dts
        if packet.is_keyframe and packet.pts is not None and video.time_of(packet.pts) <= time:
            kept, size = [], 0
        kept.append(packet)
        size += packet.size
        if size > _MOST_KEPT:
            return iter(())
        if stamp is not None:
            if video.time_of(stamp) < latest:
                return iter(())
            latest = video.time_of(stamp)
            if latest > time:
                break
    return _from_keyframe_on(chain(kept, packets))


def _from_keyframe_on(packets: Iterable[av.Packet]) -> Iterator[av.Packet]:
    return dropwhile(lambda packet: not packet.is_keyframe, packets)


def _certain(video: Video, first: av.Packet, rest: Iterable[av.Packet]) -> Iterator[tuple[float, av.VideoFrame]]:
    """Frames from a keyframe's own on, while nothing that came before the keyframe can show in them.

    Those that show before it may build upon what came before it (an open GOP), and are left out. The decoder has to
    confirm the keyframe: some are only marked as one, or are refreshed step by step.

    Raises:
        UnsureError: that cannot be told of a frame.
    """
    decoding = Decoding(video, since=first.pts)
    previous = None
    for frame in decoding.frames(_with_times(chain([first], rest))):
        if frame.pts is None or decoding.lost or (previous is not None and frame.pts <= previous):
            raise UnsureError
        if previous is None and not (frame.pts == first.pts and frame.key_frame):
            raise UnsureError
        previous = frame.pts
        yield video.time_of(frame.pts), frame
    if decoding.lost or previous is None:
        raise UnsureError


def _with_times(packets: Iterable[av.Packet]) -> Iterator[av.Packet]:
    for packet in packets:
        if packet.size and packet.pts is None:
            raise UnsureError
        yield packet
