"""Files that call themselves videos: lists of other files and addresses, and tables without end."""

from __future__ import annotations

import io
import os
import resource
import socket
import struct
import subprocess
import sys

import av
import numpy as np
import pytest
from PIL import Image

from hiera_det.data.video import promised_duration, read_frames, read_nearest, video_duration
from hiera_det.data.video.samples import check_samples
from tests.data.video.noise import write_noise


@pytest.fixture
def port():
    """A port of this machine that tells afterwards whether anyone came."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.setblocking(False)
        yield server.getsockname()[1]
        with pytest.raises(BlockingIOError):
            server.accept()


LISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{place}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile {place}\n",
    "rtsp": "RTSPtext\n{place}\n",
    "asf": "[Reference]\nRef1={place}\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"'
    ' mediaPresentationDuration="PT3S"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1"'
    ' bandwidth="1"><BaseURL>{place}</BaseURL></Representation></AdaptationSet></Period></MPD>',
}


@pytest.mark.parametrize("ending", [".mp4", ".ts", ".m3u8", ".mkv"])
@pytest.mark.parametrize("kind", LISTS)
def test_a_list_of_other_files_or_addresses(tmp_path, monkeypatch, port, kind, ending):
    monkeypatch.chdir(tmp_path)
    write_noise(tmp_path / "secret.ts", 20)
    path = tmp_path / f"list{ending}"
    for place in ("secret.ts", f"file:{tmp_path}/secret.ts", f"http://127.0.0.1:{port}/a.ts"):
        path.write_text(LISTS[kind].format(place=place, port=port))
        for read in (video_duration, lambda path: list(read_frames(path))):
            with pytest.raises((OSError, ValueError), match="list"):
                read(path)


def test_a_name_that_looks_like_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write_noise(tmp_path / "concat:a|http:b.mp4", 20)
    assert len(list(read_frames(path.relative_to(tmp_path)))) == 20


def _box(kind: bytes, *content: bytes) -> bytes:
    data = b"".join(content)
    return struct.pack(">I", 8 + len(data)) + kind + data


def _numbers(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


def _mp4(
    sizes: bytes, durations: bytes, chunks: bytes, edits: int = 0, wrap: bytes = b"moov", handler=b"vide"
) -> bytes:
    """An MP4 of 100 bytes of zeros as MPEG-4 video, with the given content of its tables."""
    start = _box(b"ftyp", b"isom", _numbers(0), b"isom")
    entry = b"\0" * 7 + b"\1" + b"\0" * 16 + struct.pack(">HH", 64, 64) + b"\0" * 50
    tables = [
        _box(b"stsd", _numbers(0, 1), _box(b"mp4v", entry)),
        _box(b"stts", _numbers(0), durations),
        _box(b"stsc", _numbers(0), chunks),
        _box(b"stsz", _numbers(0), sizes),
        _box(b"stco", _numbers(0, 1, len(start) + 8)),
    ]
    media = _box(
        b"mdia",
        _box(b"mdhd", _numbers(0, 0, 0, 1000, 1000, 0)),
        _box(b"hdlr", _numbers(0, 0), handler, b"\0" * 13),
        _box(b"minf", _box(b"vmhd", _numbers(1, 0, 0)), _box(b"stbl", *tables)),
    )
    listed = _box(b"edts", _box(b"elst", _numbers(0, edits), _numbers(1000, 0, 0x10000) * edits)) if edits else b""
    head = _box(b"mvhd", _numbers(0, 0, 0, 1000, 1000), b"\0" * 80)
    return start + _box(b"mdat", b"\0" * 100) + _box(wrap, head, _box(b"trak", listed, media))


def _fragment(samples: int) -> bytes:
    track = _box(b"traf", _box(b"tfhd", _numbers(0x20000, 1)), _box(b"trun", _numbers(1, samples, 200)))
    return _box(b"ftyp", b"isom", _numbers(0)) + _box(b"moof", _box(b"mfhd", _numbers(0, 1)), track)


MANY = 50_000_000
BOMBS = {
    "samples of one size": _mp4(_numbers(1, MANY), _numbers(1, MANY, 1), _numbers(1, 1, MANY, 1)),
    "in a free box": _mp4(_numbers(1, MANY), _numbers(1, MANY, 1), _numbers(1, 1, MANY, 1), wrap=b"free"),
    "compressed sound": _mp4(_numbers(1, MANY), _numbers(1, MANY, 2), _numbers(1, 1, MANY, 1), handler=b"soun"),
    "edits": _mp4(_numbers(1, 1000), _numbers(1, 1000, 1), _numbers(1, 1, 1000, 1), edits=10_000),
    "fragments": _fragment(MANY),
    "nested": _box(b"moov", _fragment(MANY)),
    "boxes": b"\0\0\0\x08skip" * 1_000_001,
    "compressed": _box(b"moov", _box(b"cmov", b"\0" * 100)),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_an_mp4_that_names_samples_without_end(tmp_path, kind):
    path = tmp_path / "a.mp4"
    path.write_bytes(BOMBS[kind])
    for read in (video_duration, lambda path: list(read_frames(path)), lambda path: read_nearest(path, 1, np.ones(1))):
        with pytest.raises(ValueError, match=r"a\.mp4 .*(re-encode it|remux it)"):
            read(path)


def test_tables_that_good_files_have(tmp_path):
    """Sound without compression has a sample for every few bytes, and a short video may be edited."""
    for kind, content in (
        ("edits", _mp4(_numbers(1, 90), _numbers(1, 90, 1), _numbers(1, 1, 90, 1), edits=50)),
        ("sound", _mp4(_numbers(2, MANY // 20), _numbers(1, MANY // 20, 1), _numbers(1, 1, 90, 1), handler=b"soun")),
    ):
        (tmp_path / kind).write_bytes(content)
        check_samples(tmp_path / kind)
    for ending in ("mp4", "mkv", "avi", "ts"):
        check_samples(write_noise(tmp_path / f"a.{ending}", 20))


def test_samples_without_end_take_no_memory(tmp_path):
    """In a process of its own, with less memory than FFmpeg's index would take."""
    (tmp_path / "a.mp4").write_bytes(BOMBS["samples of one size"])
    code = "import pathlib, sys; from hiera_det.data.video import *; video_duration(pathlib.Path(sys.argv[1]))"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))

    command = [sys.executable, "-c", code, str(tmp_path / "a.mp4")]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, env=environment, timeout=60)
    assert "names 50000000 samples" in done.stderr


def test_frames_that_grow(tmp_path):
    """The first is small, as the header says; a larger one behind it is not decoded."""
    parts = []
    for side in (64, 3000):
        data = io.BytesIO()
        Image.new("RGB", (side, side)).save(data, "JPEG")
        parts.append(data.getvalue())
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuvj420p"
        for number, content in enumerate([parts[0], parts[0], parts[1]]):
            packet = av.Packet(content)
            packet.stream, packet.pts, packet.dts = stream, number, number
            container.mux(packet)
    lost = []
    assert len(list(read_frames(path, lambda *what: lost.append(what), max_pixels=64 * 64))) == 2
    assert len(list(read_frames(path, max_pixels=9_000_000))) == 3


def test_a_header_that_speaks_of_centuries(tmp_path):
    path = tmp_path / "a.mkv"
    write_noise(path, 20)
    content = path.read_bytes()
    place = content.index(b"DURATION")
    at = content.index(b"00:00:", place)
    for tag, seconds in ((b"99:00:01.000000000", 99 * 3600 + 1), (b"999999:0:01.000000", 1)):
        path.write_bytes(content[:at] + tag + content[at + len(tag) :])
        assert promised_duration(path, 1.0) == seconds
