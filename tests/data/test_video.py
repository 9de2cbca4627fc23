from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from hiera_det.data.video import clip_offsets, frame_count, read_frames, read_nearest, video_duration


def _write(path, count, fps=30, sound=0, codec="libx264", bitstream=False):
    """Noise; ``sound`` is in seconds."""
    with av.open(str(path), "w", format="h264" if bitstream else None) as container:
        stream = container.add_stream(codec, rate=Fraction(fps))
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        audio = container.add_stream("pcm_s16le", rate=8000, layout="mono") if sound else None
        for index in range(count):
            noise = np.random.default_rng(index).integers(0, 256, (64, 96, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise)))
        container.mux(stream.encode())
        for second in range(sound):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), layout="mono")
            frame.sample_rate, frame.pts = 8000, 8000 * second
            container.mux(audio.encode(frame))
    return path


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.mov"])
def test_duration(tmp_path, name):
    assert video_duration(_write(tmp_path / name, 40, fps=25)) == pytest.approx(1.6, abs=0.01)


def test_duration_is_that_of_the_video_stream(tmp_path):
    path = _write(tmp_path / "a.mkv", 30, sound=4)
    with av.open(str(path)) as container:
        assert container.duration == 4_000_000
    assert video_duration(path) == pytest.approx(1.0, abs=0.001)
    read_nearest(path, 0.9, 0.9 + clip_offsets(4, 30))  # frames behind the video's end are not missed


def test_duration_by_packets(tmp_path, monkeypatch):
    path = _write(tmp_path / "a.mkv", 30)
    monkeypatch.setattr("hiera_det.data.video._end", lambda *_: None)
    assert video_duration(path) == pytest.approx(1.0, abs=0.05)


def test_a_stream_without_timestamps(tmp_path):
    path = _write(tmp_path / "a.ts", 5, bitstream=True)
    with pytest.raises(ValueError, match=r"a\.ts has no packets with timestamps"):
        video_duration(path)


def test_a_damaged_duration(tmp_path):
    content = bytearray(_write(tmp_path / "a.avi", 10, codec="mpeg4").read_bytes())
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


def test_a_stream_without_a_decoder(tmp_path):
    path = _write(tmp_path / "a.mp4", 5)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
    for read in (video_duration, lambda path: read_nearest(path, 0.1, np.array([0.1]), max_pixels=10**6)):
        with pytest.raises(ValueError, match=r"a\.mp4 has a video stream that FFmpeg has no decoder for"):
            read(path)


def test_more_pixels_than_wanted(tmp_path, monkeypatch):
    path = _write(tmp_path / "a.mp4", 5)
    assert read_nearest(path, 0.1, np.array([0.1]), max_pixels=64 * 96).shape == (1, 64, 96, 3)
    monkeypatch.setattr("hiera_det.data.video._seek_and_select", None)  # before anything is decoded
    with pytest.raises(ValueError, match=r"frames of .*a\.mp4 have 96 x 64 pixels, more than the 6143 allowed"):
        read_nearest(path, 0.1, np.array([0.1]), max_pixels=64 * 96 - 1)


@pytest.mark.parametrize("error", [AssertionError, OverflowError, TypeError, UnicodeError, MemoryError])
def test_any_error_of_damaged_timestamps(tmp_path, monkeypatch, error):
    path = _write(tmp_path / "a.mp4", 5)

    def fail(*_):
        raise error("from the depth")

    monkeypatch.setattr("hiera_det.data.video._end", fail)
    expected = MemoryError if error is MemoryError else ValueError
    with pytest.raises(expected, match="from the depth") as of_duration:
        video_duration(path)
    with pytest.raises(expected, match="from the depth") as of_frames:
        read_nearest(path, 0.1, np.array([0.1]))
    if expected is ValueError:
        assert f"video {path} cannot be opened: " in str(of_duration.value)
        assert f"video {path} cannot be decoded around 0.100 s: " in str(of_frames.value)


@pytest.mark.parametrize("seed", [0, 3, 5])
def test_damaged_frames_are_decoded_alike(tmp_path, seed):
    path = _write(tmp_path / "a.mp4", 60)
    content = bytearray(path.read_bytes())
    for place in np.random.default_rng(seed).integers(4000, len(content) - 4000, 64):
        content[place] ^= 0x55
    path.write_bytes(content)
    assert len({_outcome(path) for _ in range(6)}) == 1


def _outcome(path):
    try:
        return read_nearest(path, 1.0, 1.0 + clip_offsets(16, 4)).tobytes()
    except ValueError as error:
        return str(error)


def test_all_frames(tmp_path):
    path = _write(tmp_path / "a.mp4", 40, fps=25)
    with av.open(str(path)) as container:
        expected = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    found = list(read_frames(path))
    assert [seconds for seconds, _ in found] == [seconds for seconds, _ in expected]
    np.testing.assert_array_equal([frame for _, frame in found], [frame for _, frame in expected])
    assert frame_count(path) == 40
    assert frame_count(_write(tmp_path / "a.mkv", 40)) is None


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_the_last_frame_lasts_to_its_own_end(tmp_path, name):
    """Of one frame a second, it begins a second before the video's end."""
    assert [time for time, _ in read_frames(_write(tmp_path / name, 4, fps=1))] == [0.0, 1.0, 2.0, 3.0]


def test_an_avi_with_b_frames(tmp_path):
    """Its timestamps are in the order of decoding and seem to go backward; its frames come as they show."""
    found = list(read_frames(_write(tmp_path / "a.avi", 12)))
    times = [time for time, _ in found]
    assert len(found) == 12 and times == sorted(times)
    assert all(abs(frame.mean() - found[0][1].mean()) < 10 for _, frame in found)


def test_sound_that_goes_on_is_no_cut(tmp_path):
    assert len(list(read_frames(_write(tmp_path / "a.mkv", 30, sound=4)))) == 30


def test_frames_that_cannot_be_read(tmp_path):
    whole = _write(tmp_path / "whole.mkv", 60)
    path = tmp_path / "a.mkv"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"a\.mkv is cut off: its frames end at 0\.\d* s, but it should last 2\.000 s"):
        list(read_frames(path))
    path.write_bytes(b"text")
    with pytest.raises(ValueError, match=r"video .*a\.mkv cannot be decoded: Invalid data"):
        list(read_frames(path))
    with pytest.raises(OSError, match=r"video .*gone\.mkv cannot be decoded: No such file"):
        list(read_frames(tmp_path / "gone.mkv"))
