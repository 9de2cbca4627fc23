"""Reading video: all frames with their times, or those of a clip, the nearest to given times."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer

__all__ = ["END_SLACK", "NOMINAL_FPS", "clip_offsets", "frame_count", "read_frames", "read_nearest", "video_duration"]

NOMINAL_FPS = 30.0  # a clip's rate counts frames of this frame rate, AVA's, whatever the video's own is

END_SLACK = 0.5  # seconds by which a clip may miss the end of the video: half of what AVA labels at once
_BACK_OFF = (0.0, 2.0, 10.0, np.inf)  # seconds to seek further back while a seek lands behind its target
_TIME_NOISE = 1e-3  # seconds
_LONGEST = 30 * 24 * 3600.0  # seconds; damaged headers speak of centuries


def clip_offsets(num_frames: int, rate: int) -> np.ndarray:
    """Seconds from the keyframe to each frame of a clip: (num_frames,) float64, 0 at ``num_frames // 2``.

    Source: ``get_sequence`` of SlowFast (``slowfast/datasets/utils.py``), whose samples these are for an even
    ``num_frames``; for an odd one SlowFast's samples miss the keyframe.

    Raises:
        ValueError: a number of frames below 1, or a rate below 0.
    """
    if num_frames < 1 or rate < 0:
        raise ValueError(
            f"a clip of {num_frames} frames at rate {rate}: expected at least 1 frame and a rate of at least 0"
        )
    return (np.arange(num_frames) - num_frames // 2) * rate / NOMINAL_FPS


def video_duration(path: Path) -> float:
    """Seconds from the container's start to the end of the video stream; by the header where it says, else by packets.

    Raises:
        ValueError: there is no video stream or no decoder for it, its packets have no timestamps, it lasts longer than
            a month, or the file cannot be opened.
        OSError: the file cannot be read.
    """
    with _errors_of_files(f"video {path} cannot be opened"), av.open(str(path)) as container:
        stream = _video_stream(path, container)
        begin = (container.start_time or 0) / av.time_base
        end = _end(container, stream, begin)
        if end is None:
            end = _last_packet_end(path, container, stream, begin)
    if not 0 <= end <= _LONGEST:
        raise ValueError(f"video {path} lasts {end:g} s by its timestamps; they are damaged, re-encode it")
    return end


def read_nearest(path: Path, keyframe: float, wanted: np.ndarray, *, max_pixels: int | None = None) -> np.ndarray:
    """Decode, for each time, the frame nearest to it; of two at the same distance the earlier.

    Times before the first frame give the first, times behind the last frame the last.

    Args:
        path: the video.
        keyframe: a time that the video has to show, in seconds from the container's start.
        wanted: (T,) ascending times, in the same seconds.
        max_pixels: a video with frames of more is refused before it is decoded.

    Returns:
        (T, H, W, 3) uint8 RGB, turned as the file's display matrix says.

    Raises:
        ValueError: there is no video stream, its frames have too many pixels or differ in size, the keyframe lies
            behind the end, the video is cut off, timestamps are missing or go backward, or the file cannot be decoded.
        OSError: the file cannot be read.
    """
    with _errors_of_files(f"video {path} cannot be decoded around {keyframe:.3f} s"):
        return _read_nearest(path, keyframe, wanted, max_pixels)


def frame_count(path: Path) -> int | None:
    """How many frames a video has by its header; None: the header does not say.

    Raises:
        ValueError: there is no video stream or no decoder for it, or the file cannot be opened.
        OSError: the file cannot be read.
    """
    with _errors_of_files(f"video {path} cannot be opened"), av.open(str(path)) as container:
        return _video_stream(path, container).frames or None


def read_frames(path: Path) -> Iterator[tuple[float, np.ndarray]]:
    """Decode all frames of a video, one after another.

    Yields:
        Seconds from the container's start, as in :func:`read_nearest`, and the frame (H, W, 3) uint8 RGB, turned as the
        file's display matrix says.

    Raises:
        ValueError: there is no video stream or no frame in it, the video is cut off, timestamps are missing, or the
            file cannot be decoded.
        OSError: the file cannot be read.
    """
    with _errors_of_files(f"video {path} cannot be decoded"), av.open(str(path)) as container:
        stream = _video_stream(path, container)
        stream.thread_type = "NONE"
        begin = (container.start_time or 0) / av.time_base
        last, shown = None, -np.inf
        for seconds, frame in _timed_frames(path, container, stream, begin, ordered=False):
            seconds = max(seconds, shown)  # frames come in the order in which they show
            yield seconds, _pixels(frame)
            shown = seconds
            last = seconds + float((frame.duration or 0) * (frame.time_base or 0))
        if last is None:
            raise ValueError(f"{path} has a video stream without frames")
        end = _stream_end(stream, begin)
        if end is not None and last < end - END_SLACK:
            raise ValueError(f"{path} is cut off: its frames end at {last:.3f} s, but it should last {end:.3f} s")


@contextmanager
def _errors_of_files(text: str) -> Iterator[None]:
    """Make whatever a damaged file leads to an OSError or a ValueError."""
    try:
        yield
    except av.FFmpegError as error:
        raise (OSError if isinstance(error, OSError) else ValueError)(f"{text}: {error.strerror}") from error
    except Exception as error:  # damaged headers and timestamps give nearly anything, TypeError and OverflowError too
        if isinstance(error, MemoryError | OSError) or type(error) is ValueError:
            raise
        raise ValueError(f"{text}: {type(error).__name__}: {error}") from error


def _video_stream(path: Path, container: InputContainer) -> av.VideoStream:
    stream = container.streams.best("video")
    if not isinstance(stream, av.VideoStream):
        raise ValueError(f"{path} has no video stream")
    if stream.codec_context is None:
        raise ValueError(f"{path} has a video stream that FFmpeg has no decoder for")
    return stream


def _read_nearest(path: Path, keyframe: float, wanted: np.ndarray, max_pixels: int | None) -> np.ndarray:
    with av.open(str(path)) as container:
        stream = _video_stream(path, container)
        if max_pixels is not None and stream.width * stream.height > max_pixels:
            size = f"{stream.width} x {stream.height}"
            raise ValueError(f"frames of {path} have {size} pixels, more than the {max_pixels} allowed")
        stream.thread_type = "NONE"  # with threads FFmpeg decodes damaged frames differently from time to time
        begin = (container.start_time or 0) / av.time_base
        end = _end(container, stream, begin)
        if end is not None and keyframe > end + END_SLACK:
            raise ValueError(
                f"{path} ends at {end:.3f} s, before the keyframe at {keyframe:.3f} s; if the annotations do not count "
                "from the beginning of the file, say with which of their seconds it begins (AVA's cut films: 900)"
            )
        frames, last = _seek_and_select(path, container, stream, begin, wanted)
        needed = max(keyframe, wanted[-1] if end is None else min(wanted[-1], end))
        if last < needed - END_SLACK:
            raise ValueError(f"{path} is cut off: its frames end at {last:.3f} s, but {needed:.3f} s is wanted")
        pixels = {id(frame): _pixels(frame) for frame in frames}
    shapes = sorted({image.shape for image in pixels.values()})
    if len(shapes) > 1:
        raise ValueError(f"{path}: frames around {keyframe:.3f} s differ in size: {shapes}")
    return np.stack([pixels[id(frame)] for frame in frames])  # (T, H, W, 3)


def _end(container: InputContainer, stream: av.VideoStream, begin: float) -> float | None:
    """Where the file ends by its header, in seconds from its beginning; None: the header does not say."""
    end = _stream_end(stream, begin)
    if end is None and container.duration is not None:
        end = container.duration / av.time_base
    return end


def _stream_end(stream: av.VideoStream, begin: float) -> float | None:
    """Where the video stream itself ends by the header."""
    if stream.duration is not None and stream.time_base is not None:
        return float(((stream.start_time or 0) + stream.duration) * stream.time_base) - begin
    # Matroska's header has the end of the longest stream, often sound; each stream's own is in a tag.
    tag = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if tag:
        return int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3]) - begin
    return None


def _last_packet_end(path: Path, container: InputContainer, stream: av.VideoStream, begin: float) -> float:
    """Where the last frame ends, in seconds from the video's beginning, by reading the file without decoding it."""
    ends = [
        float((packet.pts + (packet.duration or 0)) * packet.time_base)
        for packet in container.demux(stream)
        if packet.pts is not None
    ]
    if not ends:
        raise ValueError(f"{path} has no packets with timestamps in its video stream")
    return max(ends) - begin


def _seek_and_select(
    path: Path, container: InputContainer, stream: av.VideoStream, begin: float, wanted: np.ndarray
) -> tuple[list[av.VideoFrame], float]:
    """The frames, and the time of the last one that was decoded."""
    for attempt, back in enumerate(_BACK_OFF):
        target = max(wanted[0] - back, 0.0)
        if target > 0 or attempt > 0:
            assert stream.time_base is not None
            container.seek(int((begin + target) / stream.time_base), stream=stream)
        frames, first, last = _select(_timed_frames(path, container, stream, begin), wanted)
        if frames and (target == 0 or first <= wanted[0] + _TIME_NOISE):
            return frames, last
        if target == 0:
            break
    raise ValueError(f"{path} has a video stream without frames")


def _timed_frames(
    path: Path, container: InputContainer, stream: av.VideoStream, begin: float, *, ordered: bool = True
) -> Iterator[tuple[float, av.VideoFrame]]:
    """Decode forward: (seconds from the container's start, frame); ``ordered``: times that go backward are an error."""
    previous = -np.inf
    for frame in container.decode(stream):
        if frame.time is None:
            raise ValueError(f"{path} has frames without timestamps; remux it, for example with ffmpeg to .mp4")
        time = frame.time - begin
        if ordered and time < previous:
            raise ValueError(
                f"timestamps of {path} go backward, from {previous:.3f} s to {time:.3f} s; re-encode it, "
                "for example with ffmpeg -i IN -vf setpts=N/FRAME_RATE/TB OUT.mp4"
            )
        yield time, frame
        previous = time


def _select(
    frames: Iterator[tuple[float, av.VideoFrame]], wanted: np.ndarray
) -> tuple[list[av.VideoFrame], float, float]:
    """Nearest frames, and the times of the first and the last frame seen; no frames where none came."""
    chosen: list[av.VideoFrame] = []
    held: av.VideoFrame | None = None
    first, last = np.inf, -np.inf
    for time, frame in frames:
        first = min(first, time)
        while len(chosen) < len(wanted) and wanted[len(chosen)] <= time:
            goal = wanted[len(chosen)]
            chosen.append(held if held is not None and goal - last <= time - goal else frame)
        held, last = frame, time
        if len(chosen) == len(wanted):
            break
    if held is not None:
        chosen += [held] * (len(wanted) - len(chosen))
    return chosen, first, last


def _pixels(frame: av.VideoFrame) -> np.ndarray:
    """(H, W, 3) uint8 RGB; the display matrix turns by whole quarters, counted counterclockwise."""
    quarters = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), quarters))
