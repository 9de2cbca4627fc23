"""The frames nearest to given times, to the bit as decoding from the beginning gives them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, dropwhile
from pathlib import Path

import av
import numpy as np

from hiera_det.data.video.clips import END_SLACK
from hiera_det.data.video.decoding import Decoding
from hiera_det.data.video.opened import BehindTheEndError, Video, errors_of_files, open_video, to_pixels
from hiera_det.data.video.timeline import frame_duration, timed

__all__ = ["read_nearest"]

_BACK_OFF = (0.0, 1.0, 4.0, 16.0)  # seconds to seek further back each time that a seek lands behind its target
_NOISE = 0.01  # ticks of the stream's clock that rounding may take from a target


def read_nearest(path: Path, keyframe: float, wanted: np.ndarray, *, max_pixels: int | None = None) -> np.ndarray:
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
    """Frames for some or all of the times wanted, their own times, and where the last that was decoded ends."""

    frames: list[av.VideoFrame] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    end: float = -np.inf


class _UnsureError(Exception):
    """What was decoded from a keyframe on may differ from what decoding from the beginning gives."""


def _find(path: Path, keyframe: float, wanted: np.ndarray, max_pixels: int | None) -> _Found:
    with open_video(path) as video:
        size = video.stream.width, video.stream.height
        if max_pixels is not None and size[0] * size[1] > max_pixels:
            raise ValueError(f"frames of {path} have {size[0]} x {size[1]} pixels, more than the {max_pixels} allowed")
        start = _from_a_keyframe if wanted[0] > 0 and video.has_times else _from_the_beginning
        found = start(video, wanted)
        if found is not None:
            _check_end(video, keyframe, wanted, found)
            return found
    with open_video(path) as video:
        found = _from_the_beginning(video, wanted)
        _check_end(video, keyframe, wanted, found)
        return found


def _from_a_keyframe(video: Video, wanted: np.ndarray) -> _Found | None:
    """None: no keyframe can be started at."""
    video.leave_times()
    packets = _seek(video, wanted[0]) if video.has_index else _walk(video, wanted[0])
    first = next(packets, None)
    if first is None or first.pts is None or video.time_of(first.pts) > wanted[0]:
        return None
    try:
        return _select(_certain(video, first, packets), wanted)
    except _UnsureError:
        return None


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
    latest = -np.inf
    packets = video.container.demux(video.stream)
    for packet in packets:
        stamp = packet.pts if packet.dts is None else packet.dts
        if packet.is_keyframe and packet.pts is not None and video.time_of(packet.pts) <= time:
            kept = []
        kept.append(packet)
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
        _UnsureError: that cannot be told of a frame.
    """
    decoding = Decoding(video, since=first.pts)
    previous = None
    for frame in decoding.frames(_with_times(chain([first], rest))):
        if frame.pts is None or decoding.lost or (previous is not None and frame.pts <= previous):
            raise _UnsureError
        if previous is None and not (frame.pts == first.pts and frame.key_frame):
            raise _UnsureError
        previous = frame.pts
        yield video.time_of(frame.pts), frame
    if decoding.lost or previous is None:
        raise _UnsureError


def _with_times(packets: Iterable[av.Packet]) -> Iterator[av.Packet]:
    for packet in packets:
        if packet.size and packet.pts is None:
            raise _UnsureError
        yield packet


def _from_the_beginning(video: Video, wanted: np.ndarray) -> _Found:
    decoding = Decoding(video)
    found = _select(timed(video, decoding.frames(video.container.demux(video.stream))), wanted)
    lost = np.array(sorted(video.time_of(pts) for pts in decoding.lost))
    if not found.frames:
        raise ValueError(f"{video.path} has a video stream without frames that can be decoded")
    if len(lost):
        distances = np.abs(lost[:, None] - wanted).min(axis=0)  # (T,)
        nearer = distances < np.abs(np.array(found.times) - wanted)
        if nearer.any():
            time = wanted[nearer][0]
            at = lost[np.abs(lost - time).argmin()]
            raise ValueError(f"the frame of {video.path} at {at:.3f} s is damaged and cannot be decoded")
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


def _check_end(video: Video, keyframe: float, wanted: np.ndarray, found: _Found) -> None:
    promised = video.promised_end()
    if promised is not None:
        needed = min(max(keyframe, wanted[-1]), promised)
        if found.end < needed - END_SLACK:
            raise ValueError(
                f"{video.path} is cut off: its frames end at {found.end:.3f} s, but {needed:.3f} s is wanted and should"
                f" be there, by the header up to {promised:.3f} s"
            )
    if found.end < keyframe - END_SLACK:
        raise BehindTheEndError(f"{video.path} ends at {found.end:.3f} s, before the keyframe at {keyframe:.3f} s")
