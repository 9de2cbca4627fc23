"""Writing video that browsers play: frames at given times, or another video's frames with something drawn in."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from tqdm import tqdm

from hiera_det.data.image_files import MAX_PIXELS
from hiera_det.data.video import OnLost, frame_count, read_frames, video_duration
from hiera_det.utils.files import atomic_write

__all__ = ["redraw_video", "write_video"]

logger = logging.getLogger(__name__)

_CLOCK = 90_000  # ticks per second, MPEG's
_STILL = _CLOCK // 30  # ticks that a single frame lasts
# One thread, so that the file does not depend on the number of cores; no B-frames, with which the video's end would not
# be exact; players can jump to every 30th frame at least.
_ENCODER = {"crf": "18", "preset": "veryfast", "g": "30", "bf": "0", "threads": "1"}
_MUXER = {"movie_timescale": str(_CLOCK)}  # in which a late start is written; milliseconds by default
# BT.709 in TV's range, by FFmpeg's numbers; where colours are not tagged, players guess by the size.
_COLOURS = {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": 1}


def redraw_video(
    source: Path,
    target: Path,
    draw: Callable[[float, np.ndarray], np.ndarray],
    on_lost: OnLost | None = None,
    *,
    max_pixels: int | None = MAX_PIXELS,
) -> None:
    """Write a video anew with each frame as ``draw`` returns it, without sound; nothing is left after an error.

    A frame keeps its time: seconds from the source's start are seconds of the target.

    Args:
        source: the video to read.
        target: the ``.mp4`` to write.
        draw: from seconds since the container's start and a frame (H, W, 3) uint8 RGB to a frame of the same type.
        on_lost: see :func:`~hiera_det.data.video.read_frames`; frames that are lost are left out.
        max_pixels: see :func:`~hiera_det.data.video.read_frames`.

    Raises:
        ValueError: as of :func:`~hiera_det.data.video.read_frames` and :func:`write_video`.
        OSError: the source cannot be read, or the target not written.
    """
    found = read_frames(source, on_lost, max_pixels=max_pixels)
    frames = tqdm(found, desc=source.name, unit=" frames", total=frame_count(source))
    drawn = ((seconds, draw(seconds, frame)) for seconds, frame in frames)
    write_video(target, _of_one_size(drawn, source), video_duration(source))


def _of_one_size(frames: Iterable[tuple[float, np.ndarray]], source: Path) -> Iterator[tuple[float, np.ndarray]]:
    """Frames in the size of the first: recordings of browsers change it on the way."""
    size: tuple[int, ...] | None = None
    told = False
    for seconds, image in frames:
        size = size or image.shape
        if image.shape != size:
            if not told:
                logger.warning("%s changes its size at %.3f s; it is drawn in that of its beginning", source, seconds)
            told = True
            image = cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA)
        yield seconds, image


def write_video(path: Path, frames: Iterable[tuple[float, np.ndarray]], end: float | None = None) -> None:
    """Write H.264 in an mp4; odd sizes grow by one pixel, which repeats the edge. Nothing is left after an error.

    Args:
        path: the ``.mp4`` to write.
        frames: ascending seconds, at any distance, and images (H, W, 3) uint8 RGB of one size.
        end: the second at which the last frame ends; None: it stands as long as the one before it.

    Raises:
        ValueError: there is no frame, or they differ in size.
        OSError: the file cannot be written.
    """
    stream, size, step = None, None, _STILL
    previous: int | None = None
    with atomic_write(path) as temporary, av.open(f"file:{temporary}", "w", format="mp4", options=_MUXER) as container:
        for seconds, image in frames:
            if stream is None:
                size = image.shape
                stream = container.add_stream("libx264", _CLOCK // _STILL, _ENCODER, time_base=Fraction(1, _CLOCK))
                stream.height, stream.width = (n + n % 2 for n in size[:2])
                stream.pix_fmt = "yuv420p"
                for name, value in _COLOURS.items():
                    setattr(stream.codec_context, name, value)
            if image.shape != size:
                raise ValueError(f"frames of {path} differ in size: {size}, and {image.shape} at {seconds:.3f} s")
            ticks = round(seconds * _CLOCK)
            if previous is not None:
                ticks = max(ticks, previous + 1)  # two frames may be of one time
                step = ticks - previous
            previous = ticks
            container.mux(stream.encode(_frame(image, ticks)))
        if stream is None:
            raise ValueError(f"video {path} would have no frames")
        if end is not None and previous is not None and round(end * _CLOCK) > previous:
            step = round(end * _CLOCK) - previous
        for packet in stream.encode():
            packet.duration = step  # of the last one; those of others follow from their times
            container.mux(packet)


def _frame(image: np.ndarray, ticks: int) -> av.VideoFrame:
    padding = [(0, image.shape[0] % 2), (0, image.shape[1] % 2), (0, 0)]
    frame = av.VideoFrame.from_ndarray(np.pad(image, padding, mode="edge"), format="rgb24")
    frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
    frame.pts, frame.time_base = ticks, Fraction(1, _CLOCK)
    return frame
