from __future__ import annotations

import av
import numpy as np
import pytest

from hiera_det.data.video import frame_count, read_frames
from tests.data.video.noise import write_noise


def test_all_frames(tmp_path):
    path = write_noise(tmp_path / "a.mp4", 40, fps=25)
    with av.open(str(path)) as container:
        expected = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    found = list(read_frames(path))
    assert [seconds for seconds, _ in found] == [seconds for seconds, _ in expected]
    np.testing.assert_array_equal([frame for _, frame in found], [frame for _, frame in expected])
    assert frame_count(path) == 40
    assert frame_count(write_noise(tmp_path / "a.mkv", 40)) is None


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_the_last_frame_lasts_to_its_own_end(tmp_path, name):
    """Of one frame a second, it begins a second before the video's end."""
    assert [time for time, _ in read_frames(write_noise(tmp_path / name, 4, fps=1))] == [0.0, 1.0, 2.0, 3.0]


def test_an_avi_with_b_frames(tmp_path):
    """Its timestamps are in the order of decoding and seem to go backward; its frames come as they show."""
    found = list(read_frames(write_noise(tmp_path / "a.avi", 12)))
    times = [time for time, _ in found]
    assert len(found) == 12 and times == sorted(times)
    assert all(abs(frame.mean() - found[0][1].mean()) < 10 for _, frame in found)


def test_sound_that_goes_on_is_no_cut(tmp_path):
    assert len(list(read_frames(write_noise(tmp_path / "a.mkv", 30, sound=4)))) == 30


def test_frames_that_cannot_be_read(tmp_path):
    whole = write_noise(tmp_path / "whole.mkv", 60)
    path = tmp_path / "a.mkv"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"a\.mkv is cut off: its frames end at 0\.\d* s, but it should last 2\.000 s"):
        list(read_frames(path))
    path.write_bytes(b"text")
    with pytest.raises(ValueError, match=r"video .*a\.mkv cannot be decoded: Invalid data"):
        list(read_frames(path))
    with pytest.raises(OSError, match=r"video .*gone\.mkv cannot be opened: No such file"):
        list(read_frames(tmp_path / "gone.mkv"))
