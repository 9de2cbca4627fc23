"""An open video file: its stream, its clock, and what is known of its container."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer

from hiera_det.data.video.samples import check_samples
from hiera_det.utils.regular import check_regular

__all__ = ["BehindTheEndError", "Video", "errors_of_files", "open_video", "to_pixels"]

_GUESS_TIMES = 1  # AVFMT_FLAG_GENPTS, which PyAV sets
# FFmpeg's names of the formats that are read, whatever a file's name: each has its pictures in the file itself. Others
# are lists of further files and addresses (HLS, DASH, concat, SDP), which FFmpeg would open.
_FORMATS = (
    *("mov", "matroska", "avi", "mpeg", "mpegts", "flv", "mpegvideo", "m4v", "h264", "hevc"),
    *("asf", "ogg", "mxf", "ivf", "obu", "av1", "gif", "yuv4mpegpipe", "nut", "mjpeg", "dv"),
)
_MARGIN = 1 << 20  # pixels


class BehindTheEndError(ValueError):
    """A time that is wanted lies behind the video's end."""


class Video:
    """The video stream of an open file.

    Attributes:
        path: of the file.
        container: PyAV's.
        stream: the video stream, decoded by one thread: with more FFmpeg decodes damaged frames differently from time
            to time.
        base: seconds of a tick of the stream's clock.
        begin: seconds at which the container starts, by its own clock.
    """

    def __init__(self, path: Path, container: InputContainer) -> None:
        stream = container.streams.best("video")
        if not isinstance(stream, av.VideoStream):
            raise ValueError(f"{path} has no video stream")
        if stream.codec_context is None:
            raise ValueError(f"{path} has a video stream that FFmpeg has no decoder for")
        stream.thread_type = "NONE"
        self.path, self.container, self.stream = path, container, stream
        self.base = stream.time_base or Fraction(1, av.time_base)
        self._num, self._den = self.base.numerator, self.base.denominator
        self.begin = (container.start_time or 0) / av.time_base
        self._formats = set(container.format.name.split(","))

    @property
    def has_index(self) -> bool:
        """Whether the file tells where its keyframes are, or can be searched for them by exact times."""
        return bool(self._formats & {"mov", "matroska", "flv", "avi"})

    @property
    def has_times(self) -> bool:
        """Whether the container has the time of every frame; else FFmpeg guesses them from what it read before."""
        if "avi" in self._formats:  # packets are numbered as they are decoded
            return not self.stream.codec_context.has_b_frames
        return "mpeg" not in self._formats

    @property
    def times_by_order(self) -> bool:
        """Whether times are those of decoding, so that sorting them gives those of showing."""
        return "avi" in self._formats and not self.has_times

    @property
    def times_stray(self) -> bool:
        """Whether a time may belong to another frame: a PES packet has one for the several frames it may hold."""
        return bool(self._formats & {"mpeg", "mpegts"})

    @property
    def frames_by_packet(self) -> bool:
        """Whether each packet gives a frame of the packet's time, so that one that does not come is lost."""
        codecs = {"h264", "hevc", "mpeg2video", "mpeg4", "av1", "libdav1d", "vp9", "prores", "mjpeg"}
        explicit = bool(self._formats & {"mov", "matroska", "flv", "mpegts", "mpeg"})
        return explicit and self.stream.codec_context.name in codecs

    def time_of(self, pts: int) -> float:
        """Seconds since the container's start, as :attr:`av.VideoFrame.time` has them."""
        return float(pts) * self._num / self._den - self.begin

    def leave_times(self) -> None:
        """Let FFmpeg give no times to packets whose times the file does not tell."""
        self.container.flags &= ~_GUESS_TIMES

    def promised_end(self) -> float | None:
        """Where the frames end by the header, in seconds since the container's start; None: it does not say.

        A file that was cut off ends before. Headers that count seconds and not frames are not believed.
        """
        stream = self.stream
        if "avi" in self._formats:  # FFmpeg takes its duration from the size of the file
            return stream.frames * self.step() or None
        if stream.frames and stream.duration is not None:
            return float(((stream.start_time or 0) + stream.duration) * self.base) - self.begin
        # Matroska's header has the end of the longest stream, often sound; each stream's own is in a tag.
        tag = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
        if tag:
            return int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3]) - self.begin
        return None

    def step(self) -> float:
        """Seconds from frame to frame by the header; 0: it does not say."""
        rate = self.stream.average_rate or self.stream.guessed_rate
        return float(1 / rate) if rate else 0.0


@contextmanager
def open_video(path: Path, max_pixels: int | None = None) -> Iterator[Video]:
    """Open a file.

    Raises:
        ValueError: there is no video stream or no decoder for it, its frames have more than ``max_pixels``, or it is no
            file that FFmpeg reads.
        OSError: the file cannot be read, or is no regular file.
    """
    try:
        check_regular(path)
    except OSError as error:
        raise OSError(f"video {path} cannot be opened: {error.strerror}") from error
    check_samples(path)
    with _opened(path) as container:
        video = Video(path, container)
        size = video.stream.width, video.stream.height
        if max_pixels is not None and size[0] * size[1] > max_pixels:
            text = f"frames of {path} have {size[0]} x {size[1]} pixels, more than the {max_pixels} allowed"
            raise ValueError(f"{text} (INPUT.MAX_PIXELS)")
        if max_pixels is not None:  # later frames may be larger; FFmpeg counts the margins too that it decodes into
            video.stream.codec_context.options = {"max_pixels": str(2 * max_pixels + _MARGIN)}
        yield video


def _opened(path: Path) -> InputContainer:
    options = {"format_whitelist": ",".join(_FORMATS), "protocol_whitelist": "file"}
    try:
        # A name may look like an address.
        return av.open(f"file:{path}", container_options=options, metadata_errors="replace")
    except av.ArgumentError as error:
        raise ValueError(f"{path} is damaged or of no format that is read ({', '.join(_FORMATS)})") from error


@contextmanager
def errors_of_files(text: str) -> Iterator[None]:
    """Make whatever a damaged file leads to an OSError or a ValueError."""
    try:
        yield
    except av.FFmpegError as error:
        raise (OSError if isinstance(error, OSError) else ValueError)(f"{text}: {error.strerror}") from error
    except Exception as error:  # damaged headers and timestamps give nearly anything, TypeError and OverflowError too
        if isinstance(error, MemoryError | OSError) or type(error) in (ValueError, BehindTheEndError):
            raise
        raise ValueError(f"{text}: {type(error).__name__}: {error}") from error


def to_pixels(frame: av.VideoFrame) -> np.ndarray:
    """(H, W, 3) uint8 RGB; the display matrix turns by whole quarters, counted counterclockwise."""
    quarters = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), quarters))
