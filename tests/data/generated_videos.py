"""Tiny videos of every container and codec that PyAV's wheel writes."""

from __future__ import annotations

import io
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

__all__ = ["CASES", "Case", "write_video_of"]

MILLISECOND = Fraction(1, 1000)

# Fast settings of one thread, so that a file is the same every time; GOPs of 12 frames unless a case says otherwise.
_CODECS = {
    "h264": ("libx264", {"preset": "ultrafast", "bf": "0"}),
    "h264_b": ("libx264", {"preset": "ultrafast", "bf": "3", "b-pyramid": "normal", "b-adapt": "0"}),
    "h264_open": ("libx264", {"preset": "ultrafast", "bf": "3", "b-adapt": "0", "x264-params": "open-gop=1"}),
    "h264_refresh": ("libx264", {"preset": "ultrafast", "bf": "0", "x264-params": "intra-refresh=1"}),
    "hevc": ("libx265", {"preset": "ultrafast", "x265-params": "log-level=none:pools=none:frame-threads=1:bframes=3"}),
    "hevc_closed": (
        "libx265",
        {"preset": "ultrafast", "x265-params": "log-level=none:pools=none:frame-threads=1:bframes=0:open-gop=0"},
    ),
    "vp9": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
    "av1": ("libsvtav1", {"preset": "12", "svtav1-params": "lp=1"}),
    "mpeg2": ("mpeg2video", {"bf": "2"}),
    "mpeg4": ("mpeg4", {"bf": "0"}),
    "mpeg4_b": ("mpeg4", {"bf": "2"}),
    "prores": ("prores_ks", {}),
    "flv1": ("flv", {}),
    "mjpeg": ("mjpeg", {}),
}
_PIXELS = {"prores": "yuv422p10le", "mjpeg": "yuvj420p"}


@dataclass(frozen=True)
class Case:
    """A video to generate."""

    name: str
    suffix: str
    codec: str
    gop: int = 12
    frames: int = 60
    fps: Fraction = Fraction(25)
    times: str = "steady"  # steady, uneven
    start: float = 0.0  # seconds
    size: tuple[int, int] = (48, 64)
    pixels: str | None = None
    format: str | None = None
    flags: tuple[tuple[str, str], ...] = ()
    piped: bool = False
    sound: float = 0.0
    rotation: int = 0


def picture(number: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Frame ``number``: noise that moves over a grey of its own, so that no two frames are alike."""
    noise = np.random.default_rng(7).integers(0, 90, (height, width + 400, 3), np.uint8)
    pixels = noise[:, 2 * number : 2 * number + width].copy()
    pixels[: height // 4] = 20 * (number % 12) + 10
    pixels[height // 2 :, : width // 4] += np.uint8(number)
    return pixels


def write_video_of(case: Case, folder: Path) -> Path:
    """Write the video of a case to a folder."""
    path = folder / f"{case.name}.{case.suffix}"
    target = _Pipe(path) if case.piped else str(path)
    name, options = _CODECS[case.codec]
    with av.open(target, "w", format=case.format, options=dict(case.flags)) as container:
        stream = container.add_stream(name, rate=case.fps, options={**options, "g": str(case.gop), "threads": "1"})
        stream.height, stream.width = case.size
        stream.pix_fmt = case.pixels or _PIXELS.get(case.codec, "yuv420p")
        clock = 1 / case.fps
        if case.times == "uneven":
            clock = MILLISECOND
            stream.time_base = stream.codec_context.time_base = clock
        audio = container.add_stream("mp2", rate=44100, layout="mono") if case.sound else None
        for number, time in enumerate(times_of(case)):
            frame = av.VideoFrame.from_ndarray(picture(number, *case.size))
            frame.pts, frame.time_base = round(time / clock), clock
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if audio is not None:
            for place in range(int(case.sound * 44100 / 1152)):
                sound = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.int16), layout="mono")
                sound.sample_rate, sound.pts, sound.time_base = 44100, 1152 * place, Fraction(1, 44100)
                container.mux(audio.encode(sound))
            container.mux(audio.encode())
    return path


def times_of(case: Case) -> list[float]:
    """Seconds of the frames, as the encoder is given them."""
    if case.times == "uneven":
        steps = np.random.default_rng(3).choice([0.017, 0.033, 0.04, 0.1, 0.5], case.frames)
        return [case.start + round(float(t), 3) for t in np.cumsum(steps) - steps[0]]
    return [case.start + number / float(case.fps) for number in range(case.frames)]


class _Pipe(io.RawIOBase):
    """A file that cannot be sought in."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self.write = self._file.write  # type: ignore[method-assign]

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        self._file.close()


_CONTAINERS = {
    "mp4": (
        "h264",
        "h264_b",
        "h264_open",
        "h264_refresh",
        "hevc",
        "hevc_closed",
        "vp9",
        "av1",
        "mpeg2",
        "mpeg4",
        "mpeg4_b",
        "mjpeg",
    ),
    "mov": ("h264_b", "hevc", "mpeg4_b", "prores", "mjpeg"),
    "mkv": (
        "h264",
        "h264_b",
        "h264_open",
        "h264_refresh",
        "hevc",
        "vp9",
        "av1",
        "mpeg2",
        "mpeg4",
        "mpeg4_b",
        "prores",
        "mjpeg",
    ),
    "webm": ("vp9", "av1"),
    "ts": ("h264", "h264_b", "h264_open", "h264_refresh", "hevc", "hevc_closed", "mpeg2", "mpeg4", "mpeg4_b"),
    "mpg": ("mpeg2",),
    "vob": ("mpeg2",),
    "avi": ("h264", "h264_b", "mpeg2", "mpeg4", "mpeg4_b", "mjpeg", "hevc", "vp9", "av1"),
    "flv": ("h264", "h264_b", "h264_open", "hevc", "vp9", "av1", "flv1"),
}
_FRAGMENTED = (("movflags", "frag_keyframe+empty_moov"),)

CASES = [
    *(Case(f"{suffix}-{codec}", suffix, codec) for suffix, codecs in _CONTAINERS.items() for codec in codecs),
    *(Case(f"fragmented-{codec}", "mp4", codec, flags=_FRAGMENTED) for codec in ("h264_b", "h264_open", "hevc", "av1")),
    *(
        Case(f"live-{codec}", "webm", codec, piped=True, format="webm", flags=(("live", "1"),))
        for codec in ("vp9", "av1")
    ),
    *(
        Case(f"gop{gop}-{codec}", "ts", codec, gop=gop, frames=120)
        for gop in (30, 250)
        for codec in ("h264", "h264_b", "hevc", "mpeg2")
    ),
    *(Case(f"sound-{suffix}", suffix, "mpeg2", sound=5.0) for suffix in ("mpg", "vob", "ts")),
    *(
        Case(f"{what}-{suffix}-{codec}", suffix, codec, **values)
        for suffix, codec in (
            ("mp4", "h264_b"),
            ("mkv", "h264_b"),
            ("ts", "h264_b"),
            ("mpg", "mpeg2"),
            ("avi", "mpeg4"),
            ("flv", "h264_b"),
            ("webm", "vp9"),
            ("mov", "hevc"),
        )
        for what, values in {
            "start10": {"start": 10.0},
            "negative": {"start": -0.48},
            "fps1": {"fps": Fraction(1), "frames": 12, "gop": 5},
            "uneven": {"times": "uneven"},
            "ntsc": {"fps": Fraction(30000, 1001)},
            "odd": {"size": (47, 63), "pixels": "yuv444p"},
        }.items()
        if not (codec == "mpeg2" and what in ("fps1", "uneven", "odd")) and not (codec == "mpeg4" and what == "odd")
    ),
]
