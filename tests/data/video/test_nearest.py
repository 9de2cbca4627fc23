from __future__ import annotations

import os

import numpy as np
import pytest

from hiera_det.data.video import clip_offsets, frame_count, read_frames, read_nearest, video_duration
from tests.data.video.noise import write_noise


def test_a_stream_without_a_decoder(tmp_path):
    path = write_noise(tmp_path / "a.mp4", 5)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
    for read in (video_duration, lambda path: read_nearest(path, 0.1, np.array([0.1]), max_pixels=10**6)):
        with pytest.raises(ValueError, match=r"a\.mp4 has a video stream that FFmpeg has no decoder for"):
            read(path)


def test_more_pixels_than_wanted(tmp_path, monkeypatch):
    path = write_noise(tmp_path / "a.mp4", 5)
    assert read_nearest(path, 0.1, np.array([0.1]), max_pixels=64 * 96).shape == (1, 64, 96, 3)
    monkeypatch.setattr("hiera_det.data.video.nearest._from_a_keyframe", None)  # before anything is decoded
    with pytest.raises(ValueError, match=r"frames of .*a\.mp4 have 96 x 64 pixels, more than the 6143 allowed"):
        read_nearest(path, 0.1, np.array([0.1]), max_pixels=64 * 96 - 1)
    with pytest.raises(ValueError, match=r"more than the 6143 allowed \(INPUT\.MAX_PIXELS\)"):
        next(read_frames(path, max_pixels=64 * 96 - 1))


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.mp4")
    for read in (video_duration, frame_count, lambda path: next(read_frames(path))):
        with pytest.raises(OSError, match=r"video .*a\.mp4 cannot be opened: it is a named pipe, expected a file"):
            read(tmp_path / "a.mp4")


@pytest.mark.parametrize("error", [AssertionError, OverflowError, TypeError, UnicodeError, MemoryError])
def test_any_error_of_damaged_timestamps(tmp_path, monkeypatch, error):
    path = write_noise(tmp_path / "a.mp4", 5)

    def fail(*_):
        raise error("from the depth")

    monkeypatch.setattr("hiera_det.data.video.opened.Video.time_of", fail)
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
    path = write_noise(tmp_path / "a.mp4", 60)
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
