"""Tiny videos of every container and codec that PyAV's wheel writes, and what decoding them from the beginning gives.

``python -m tests.data.video.generated`` prints a table of the largest deviation of a read from that.
"""

from __future__ import annotations

import io
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from hiera_det.data.video import read_nearest

__all__ = ["CASES", "Case", "Truth", "damage", "deviation", "times_to_try", "truth_of", "write_case"]

_X265 = "log-level=none:pools=none:frame-threads=1"
_CODECS = {
    "h264": ("libx264", {"preset": "ultrafast", "bf": "0"}),
    "h264 B": ("libx264", {"preset": "ultrafast", "bf": "3", "b-pyramid": "normal", "b-adapt": "0"}),
    "h264 open": ("libx264", {"preset": "ultrafast", "bf": "3", "b-adapt": "0", "x264-params": "open-gop=1"}),
    "h264 refresh": ("libx264", {"preset": "ultrafast", "bf": "0", "x264-params": "intra-refresh=1"}),
    "hevc": ("libx265", {"preset": "ultrafast", "x265-params": f"{_X265}:bframes=3"}),  # open GOPs
    "hevc closed": ("libx265", {"preset": "ultrafast", "x265-params": f"{_X265}:bframes=0:open-gop=0"}),
    "vp9": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
    "av1": ("libsvtav1", {"preset": "12", "svtav1-params": "lp=1"}),
    "mpeg2": ("mpeg2video", {"bf": "2"}),
    "mpeg4": ("mpeg4", {"bf": "0"}),
    "mpeg4 B": ("mpeg4", {"bf": "2"}),
    "prores": ("prores_ks", {}),
    "mjpeg": ("mjpeg", {}),
}
_PIXELS = {"prores": "yuv422p10le", "mjpeg": "yuvj420p"}
_MS = Fraction(1, 1000)


@dataclass(frozen=True)
class Case:
    """A video to generate: its name begins with the container's."""

    name: str
    suffix: str
    codec: str
    gop: int = 12
    frames: int = 60
    fps: Fraction = Fraction(25)
    uneven: bool = False
    start: int = 0  # frames
    size: tuple[int, int] = (48, 64)
    pixels: str | None = None
    muxer: tuple[tuple[str, str], ...] = ()
    piped: bool = False
    sound: float = 0.0  # seconds
    turned: bool = False


def _cases() -> Iterator[Case]:
    containers = {
        "mp4": "h264, h264 B, h264 open, h264 refresh, hevc, hevc closed, vp9, av1, mpeg2, mpeg4 B",
        "mov": "h264 B, hevc, mpeg4 B, prores, mjpeg",
        "mkv": "h264, h264 B, h264 open, hevc, vp9, av1, mpeg2, mpeg4 B, prores",
        "webm": "vp9, av1",
        "ts": "h264, h264 B, h264 open, h264 refresh, hevc, mpeg2, mpeg4 B",
        "mpg": "mpeg2",
        "vob": "mpeg2",
        "avi": "h264, h264 B, mpeg2, mpeg4, mpeg4 B, mjpeg",
        "flv": "h264, h264 B, h264 open, hevc, av1",
    }
    for suffix, codecs in containers.items():
        yield from (Case(suffix, suffix, codec) for codec in codecs.split(", "))
    fragmented = (("movflags", "frag_keyframe+empty_moov"),)
    for codec in ("h264 B", "h264 open", "hevc", "av1"):
        yield Case("mp4 fragmented", "mp4", codec, muxer=fragmented)
    for codec in ("vp9", "av1"):
        yield Case("webm without duration", "webm", codec, muxer=(("live", "1"),), piped=True)
    for gop in (30, 250):
        for codec in ("h264 B", "h264 open", "hevc", "mpeg2"):
            yield Case(f"ts GOP {gop}", "ts", codec, gop=gop, frames=100)
    variants = {
        "from 10 s": {"start": 250},
        "from -0.5 s": {"start": -12},
        "1 fps": {"fps": Fraction(1), "frames": 12, "gop": 5},
        "uneven": {"uneven": True},
        "29.97 fps": {"fps": Fraction(30000, 1001)},
        "sound": {"sound": 4.0},
    }
    for suffix, codec in (("mp4", "h264 B"), ("mkv", "h264 B"), ("ts", "h264 B"), ("flv", "h264 B"), ("webm", "vp9")):
        for name, values in variants.items():
            if name != "sound" or suffix in ("mkv", "ts"):
                yield Case(f"{suffix} {name}", suffix, codec, **values)  # type: ignore[arg-type]
    for suffix in ("mpg", "vob"):
        for name in ("from 10 s", "29.97 fps", "sound"):
            yield Case(f"{suffix} {name}", suffix, "mpeg2", **variants[name])  # type: ignore[arg-type]
    yield Case("mp4 turned", "mp4", "h264 B", turned=True)
    yield Case("mkv 10 bit", "mkv", "hevc", pixels="yuv420p10le")
    yield Case("mp4 10 bit", "mp4", "av1", pixels="yuv420p10le")
    yield Case("mp4 odd", "mp4", "h264 B", size=(47, 63), pixels="yuv444p")
    yield Case("ts odd", "ts", "hevc", size=(47, 63), pixels="yuv444p")


CASES = list(_cases())


def picture(number: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Frame ``number``: noise that moves, so that no two frames are alike."""
    noise = np.random.default_rng(7).integers(0, 90, (height, width + 400, 3), np.uint8)
    pixels = noise[:, 2 * number : 2 * number + width].copy()
    pixels[: height // 4] = 20 * (number % 12) + 10
    return pixels


def write_case(case: Case, path: Path) -> Path:
    """Write the video of a case."""
    name, options = _CODECS[case.codec]
    target = _Pipe(path) if case.piped else str(path)
    with av.open(target, "w", format=case.suffix if case.piped else None, options=dict(case.muxer)) as container:
        stream = container.add_stream(name, rate=case.fps, options={**options, "g": str(case.gop), "threads": "1"})
        stream.height, stream.width = case.size
        stream.pix_fmt = case.pixels or _PIXELS.get(case.codec, "yuv420p")
        clock = 1 / case.fps
        if case.uneven:
            clock = stream.time_base = stream.codec_context.time_base = _MS
        audio = container.add_stream("mp2", rate=44100, layout="mono") if case.sound else None
        for number, ticks in enumerate(_ticks(case)):
            frame = av.VideoFrame.from_ndarray(picture(number, *case.size))
            frame.pts, frame.time_base = ticks, clock
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if audio is not None:
            for place in range(int(case.sound * 44100 / 1152)):
                sound = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.int16), layout="mono")
                sound.sample_rate, sound.pts, sound.time_base = 44100, 1152 * place, Fraction(1, 44100)
                container.mux(audio.encode(sound))
            container.mux(audio.encode())
    if case.turned:
        _turn(path)
    return path


def _ticks(case: Case) -> list[int]:
    """When frames show, in milliseconds if they are uneven, else in frames."""
    if not case.uneven:
        return [case.start + number for number in range(case.frames)]
    steps = np.random.default_rng(3).choice([17, 33, 40, 100, 500], case.frames)
    return (np.cumsum(steps) - steps[0]).tolist()


def _turn(path: Path) -> None:
    """Write a quarter clockwise into the display matrix, as phones do."""
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4 + 40
    one, w = 1 << 16, 1 << 30
    content[start : start + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, w)
    path.write_bytes(content)


class _Pipe(io.RawIOBase):
    """A file in which nothing can be sought, as a browser's recorder writes."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def write(self, content) -> int:  # type: ignore[no-untyped-def, override]
        return self._file.write(content)

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        self._file.close()


def damage(path: Path, *numbers: int) -> list[float]:
    """Overwrite packets of a video, counted as they are decoded, but for their first bytes; gives their seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [(p.pos, p.size, float(p.pts * p.time_base)) for p in container.demux(stream) if p.size]
    content = bytearray(path.read_bytes())
    times = []
    for number in numbers:
        start, size, time = packets[number]
        content[start + 4 : start + size] = bytes(size - 4)
        times.append(time)
    path.write_bytes(content)
    return times


@dataclass(frozen=True)
class Truth:
    """All frames of a file, decoded from the beginning by one thread, and their seconds from the container's start."""

    times: np.ndarray  # (N,) float64
    frames: list[np.ndarray]  # (H, W, 3) uint8 RGB

    def nearest(self, time: float) -> int:
        """Of two at the same distance the earlier."""
        return int(np.abs(self.times - time).argmin())


def truth_of(path: Path) -> Truth:
    """Decode a file. AVI has no times of B-frames, and FFmpeg misreads some of VOB: their frames are evenly spaced."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        begin = (container.start_time or 0) / av.time_base
        found = list(container.decode(stream))
        times = np.array([frame.time for frame in found])
        if (np.diff(times) < 0).any():
            step = round(1 / stream.average_rate / stream.time_base)
            ticks = [min(frame.pts for frame in found) + step * number for number in range(len(found))]
            times = np.array([float(t) * stream.time_base.numerator / stream.time_base.denominator for t in ticks])
    pixels = [np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90) % 4) for frame in found]
    return Truth(times - begin, pixels)


def times_to_try(times: np.ndarray) -> np.ndarray:
    """Start, end, frames' own times, between frames, and just before and behind."""
    middles = (times[:-1] + times[1:]) / 2
    around = np.concatenate([times, times - 1e-4, times + 1e-4, middles, middles - 1e-4])
    return np.concatenate([[-1.0, 0.0, times[-1] + 0.3], np.sort(around)[:: max(len(around) // 20, 1)]])


def deviation(path: Path, truth: Truth, time: float) -> float:
    """Seconds between the frame that a read at a time gives and the nearest; infinite if it is no frame of the file."""
    wanted = np.array([time, time + 0.05])  # the second may lie behind the keyframe that follows
    worst = 0.0
    for goal, got in zip(wanted, read_nearest(path, time, wanted), strict=True):
        expected = truth.nearest(goal)
        if not np.array_equal(got, truth.frames[expected]):
            alike = [place for place, frame in enumerate(truth.frames) if np.array_equal(frame, got)]
            distances = [abs(truth.times[place] - truth.times[expected]) for place in alike]
            worst = max(worst, min(distances, default=np.inf))
    return float(worst)


def main() -> None:
    """Print the table: containers in rows, codecs in columns."""
    codecs = list(_CODECS)
    rows: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES:
            path = write_case(case, Path(folder) / f"{len(rows)}.{case.suffix}")
            truth = truth_of(path)
            worst = max(deviation(path, truth, time) for time in times_to_try(truth.times))
            rows.setdefault(case.name, {})[case.codec] = f"{worst:g}"
    print(f"| container | {' | '.join(codecs)} |\n|---|{'---|' * len(codecs)}")
    for name, found in rows.items():
        print(f"| {name} | {' | '.join(found.get(codec, '') for codec in codecs)} |")


if __name__ == "__main__":
    main()
