"""Video files through `extract` of clips, `predict`, and playlists that name others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.faults.case import Case, Write, copy, put
from tests.faults.corpus.bytes_of import flipped, no_files, strangers, truncated
from tests.faults.corpus.ports import PORT
from tests.faults.material import Material, write_video

__all__ = ["cases"]


def cases(good: Material) -> Iterator[Case]:
    """All of the kind."""
    data = good.short_video.read_bytes()
    extract = ("extract", "--config", str(good.video_features_config), "--input", "x.mp4", "--times", "times.csv")
    extract += ("--output", "out", "--strict")
    predict = ("predict", "--weights", str(good.detection_run), "--input", "x.mp4", "--output", "out", "--strict")
    made = good.made("videos", _write)
    for reader, words in (("extract", extract), ("predict", predict)):
        yield Case(f"good_{reader}", words, _timed(put("x.mp4", data)), good=True)
        for name, content in (*strangers(), *_playlists(good.video).items()):
            yield Case(f"{reader}_{name}", words, _timed(put("x.mp4", content)), refused=True)
        for name, write in no_files("x.mp4"):
            yield Case(f"{reader}_{name}", words, _timed(write), refused=True)
        for name, content in (*truncated(data, 10), *flipped(data, 10, seed=len(reader)), *_boxes(data).items()):
            yield Case(f"{reader}_{name}", words, _timed(put("x.mp4", content)))
        for path in sorted(made.iterdir()):
            yield Case(f"{reader}_{path.name}", words, _timed(copy(path, "x.mp4")))


def _timed(write: Write) -> Write:
    def both(folder: Path) -> None:
        put("times.csv", "video_id,seconds\nx.mp4,0.1\n")(folder)
        write(folder)

    return both


def _playlists(video: Path) -> dict[str, str]:
    """Texts that FFmpeg takes for videos, and that name other files or addresses."""
    url = f"http://127.0.0.1:{PORT}/x.ts"
    return {
        "concat": f"ffconcat version 1.0\nfile '{video}'\n",
        "concat_url": f"ffconcat version 1.0\nfile '{url}'\n",
        "concat_itself": "ffconcat version 1.0\nfile 'x.mp4'\n",
        "concat_pipe": "ffconcat version 1.0\nfile 'pipe:0'\n",
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{url}\n#EXT-X-ENDLIST\n",
        "hls_file": f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{video}\n#EXT-X-ENDLIST\n",
        "hls_live": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{video}\n",
        "hls_key": f'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{url}"\n#EXTINF:5,\n{video}\n#EXT-X-ENDLIST\n',
        "dash": f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
        f"<Period><AdaptationSet><Representation id='1' bandwidth='1'><BaseURL>{url}</BaseURL>"
        "</Representation></AdaptationSet></Period></MPD>",
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        f"m=video {PORT} RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        "rtsp": f"[Reference]\nRef1=rtsp://127.0.0.1:{PORT}/x\n",
        "asx": f'<asx version="3.0"><entry><ref href="{url}"/></entry></asx>',
        "imf": '<CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016"></CompositionPlaylist>',
        "subtitle": "1\n00:00:00,000 --> 00:00:05,000\nhello\n",
        "image": "P6 64 48 255\n" + "x" * (64 * 48 * 3),
        "ffmetadata": ";FFMETADATA1\ntitle=x\n",
        "lavfi": "color=red:size=64x64\n",
        "sequence": "x%05d.jpg",
    }


def _boxes(data: bytes) -> dict[str, bytes]:
    """Boxes of the container whose numbers are others."""

    def changed(box: bytes, offset: int, value: bytes) -> bytes:
        place = data.find(box) + 4 + offset
        return data[:place] + value + data[place + len(value) :]

    found = {
        "duration_movie": changed(b"mvhd", 16, b"\x7f\xff\xff\xff"),
        "scale_zero": changed(b"mvhd", 12, b"\0\0\0\0"),
        "duration_track": changed(b"tkhd", 20, b"\xff\xff\xff\xff"),
        "duration_media": changed(b"mdhd", 16, b"\xff\xff\xff\xff"),
        "scale_media": changed(b"mdhd", 12, b"\0\0\0\0"),
        "scale_media_one": changed(b"mdhd", 12, b"\0\0\0\x01"),
        "width_huge": changed(b"avc1", 24, b"\xff\xff\xff\xff"),
        "times_count": changed(b"stts", 4, b"\x7f\xff\xff\xff"),
        "times_step": changed(b"stts", 12, b"\x7f\xff\xff\xff"),
        "times_zero": changed(b"stts", 12, b"\0\0\0\0"),
        "sizes_count": changed(b"stsz", 8, b"\x7f\xff\xff\xff"),
        "sizes_one": changed(b"stsz", 4, b"\x7f\xff\xff\xff"),
        "chunks_count": changed(b"stco", 4, b"\x7f\xff\xff\xff"),
        "chunks_place": changed(b"stco", 8, b"\xff\xff\xff\xff"),
        "box_endless": changed(b"moov", -8, b"\xff\xff\xff\xff"),
        "box_zero": changed(b"trak", -8, b"\0\0\0\0"),
        "parameters": changed(b"avcC", 8, b"\xff" * 12),
        "behind": data + bytes(1_000_000),
        "twice": data + data,
        "external": data.replace(b"url \0\0\0\x01", b"url \0\0\0\0"),
    }
    return {name: content for name, content in found.items() if content != data}


def _write(folder: Path) -> None:
    """Write videos of strange times, sizes and streams."""
    import av
    import numpy as np

    folder.mkdir()

    def write(name: str, *arguments: Any) -> None:
        write_video(folder / name, *arguments)

    write("gap_of_years", "matroska", "mpeg4", [0, 1, 2, 2_000_000_000])
    write("one_frame", "mp4", "mpeg4", [0])
    write("late_begin", "matroska", "mpeg4", [1_000_000_000, 1_000_000_001])
    write("large_frames", "mp4", "mpeg4", [0, 1], (1920, 1080))
    write("thin_frames", "mp4", "mpeg4", [0, 1, 2], (2048, 2))
    write("transport", "mpegts", "mpeg2video", list(range(30)))
    write("long", "matroska", "mpeg4", list(range(0, 30 * 3600, 3000)))
    with av.open(str(folder / "sound_alone"), "w", format="mp4") as target:
        stream = target.add_stream("aac", rate=44100)
        sound = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        sound.rate = 44100
        for packet in (*stream.encode(sound), *stream.encode()):
            target.mux(packet)
    with av.open(str(folder / "no_frames"), "w", format="mp4") as target:
        stream = target.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
