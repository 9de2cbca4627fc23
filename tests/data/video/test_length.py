from __future__ import annotations

import av
import pytest

from hiera_det.data.video import clip_offsets, promised_duration, read_nearest, video_duration
from tests.data.video.noise import write_noise


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.mov"])
def test_duration(tmp_path, name):
    assert video_duration(write_noise(tmp_path / name, 40, fps=25)) == pytest.approx(1.6, abs=0.01)


def test_duration_is_that_of_the_video_stream(tmp_path):
    path = write_noise(tmp_path / "a.mkv", 30, sound=4)
    with av.open(str(path)) as container:
        assert container.duration == 4_000_000
    assert video_duration(path) == pytest.approx(1.0, abs=0.001)
    read_nearest(path, 0.9, 0.9 + clip_offsets(4, 30))  # frames behind the video's end are not missed


@pytest.mark.parametrize("seconds", [1, 100])
def test_a_wrong_duration_in_the_header(tmp_path, seconds):
    """Of the media header, ``mdhd``; that of the sample table is that of the frames."""
    path = write_noise(tmp_path / "a.mp4", 90)
    content = bytearray(path.read_bytes())
    place = content.index(b"mdhd") + 4 + 12  # version and flags, creation, modification
    clock = int.from_bytes(content[place : place + 4])
    content[place + 4 : place + 8] = (seconds * clock).to_bytes(4)
    path.write_bytes(content)
    assert video_duration(path) == promised_duration(path, 3.0) == 3.0
    read_nearest(path, 2.9, 2.9 + clip_offsets(4, 30))


def test_a_video_that_is_cut_off(tmp_path):
    whole = write_noise(tmp_path / "whole.mkv", 90)
    (tmp_path / "cut.mkv").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    end = video_duration(tmp_path / "cut.mkv")
    assert 1 < end < 2 and promised_duration(tmp_path / "cut.mkv", end) == 3.0
    assert promised_duration(whole, 3.0) == 3.0
    assert promised_duration(tmp_path / "gone.mkv", 3.0) == 3.0


def test_a_stream_without_timestamps(tmp_path):
    path = write_noise(tmp_path / "a.ts", 5, bitstream=True)
    with pytest.raises(ValueError, match=r"a\.ts has no packets with timestamps"):
        video_duration(path)


def test_a_damaged_duration(tmp_path):
    content = bytearray(write_noise(tmp_path / "a.avi", 10, codec="mpeg4").read_bytes())
    rate = content.index(b"strh") + 8 + 24  # of the stream's header: frames in so many seconds are `scale` and `rate`
    content[rate - 4 : rate + 4] = (2**31 - 1).to_bytes(4, "little") + (1).to_bytes(4, "little")
    (tmp_path / "a.avi").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.avi lasts 2\.\d*e\+10 s by its timestamps; they are damaged"):
        video_duration(tmp_path / "a.avi")


def test_no_video_to_measure(tmp_path):
    with pytest.raises(OSError, match=r"gone\.mp4 cannot be opened: No such file"):
        video_duration(tmp_path / "gone.mp4")
    (tmp_path / "a.mp4").write_bytes(b"text")
    with pytest.raises(ValueError, match=r"a\.mp4 cannot be opened"):
        video_duration(tmp_path / "a.mp4")
