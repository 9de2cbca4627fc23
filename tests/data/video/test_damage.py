"""Damaged packets cost the frames that they are of: these are named, and the rest is read."""

from __future__ import annotations

import numpy as np
import pytest

from hiera_det.data.video import read_frames, read_nearest
from hiera_det.data.video_writer import redraw_video
from tests.data.video.generated import Case, damage, truth_of, write_case


@pytest.fixture(params=["h264 B", "hevc", "mpeg4 B"])
def damaged(request, tmp_path):
    """A video whose packets 30 to 32 are damaged, the truth of the sound one, and the damaged seconds."""
    path = write_case(Case("a", "mp4", request.param), tmp_path / "a.mp4")
    truth = truth_of(path)
    return path, truth, damage(path, 30, 31, 32)


def test_all_frames_but_the_damaged(damaged):
    path, truth, damaged_times = damaged
    lost = []
    found = list(read_frames(path, lambda seconds, reason: lost.append((seconds, reason))))
    assert len(found) + len(lost) == 60
    assert {round(time, 3) for time in damaged_times} <= {round(seconds, 3) for seconds, _ in lost}
    seconds, reason = lost[0]
    assert reason == f"the frame of {path} at {seconds:.3f} s is damaged and cannot be decoded"
    everything = sorted([seconds for seconds, _ in found] + [seconds for seconds, _ in lost])
    np.testing.assert_allclose(everything, truth.times, atol=1e-9)
    for seconds, frame in found:
        if seconds < 0.9 or seconds > 2.0:  # other groups of frames
            np.testing.assert_array_equal(frame, truth.frames[truth.nearest(seconds)])


def test_without_a_listener_it_is_an_error(damaged):
    path, _, _ = damaged
    with pytest.raises(ValueError, match=r"the frame of .*a\.mp4 at \d\.\d{3} s is damaged and cannot be decoded"):
        list(read_frames(path))


def test_a_clip_without_damaged_frames(damaged):
    path, truth, damaged_times = damaged
    for time in (0.2, 0.8, 2.2):
        got = read_nearest(path, time, np.array([time]))[0]
        np.testing.assert_array_equal(got, truth.frames[truth.nearest(time)])
    for time in damaged_times:
        with pytest.raises(ValueError, match=rf"a\.mp4 at {time:.3f} s is damaged and cannot be decoded"):
            read_nearest(path, time, np.array([time - 0.01]))


def test_the_first_keyframe_is_damaged(tmp_path):
    path = write_case(Case("a", "mp4", "h264 B"), tmp_path / "a.mp4")
    truth = truth_of(path)
    damage(path, 0)
    lost = []
    found = list(read_frames(path, lambda seconds, _: lost.append(seconds)))
    assert lost[0] == 0 and len(lost) + len(found) == 60
    np.testing.assert_array_equal(found[-1][1], truth.frames[-1])


def test_no_frame_can_be_decoded(tmp_path):
    path = write_case(Case("a", "mov", "prores", frames=4), tmp_path / "a.mov")
    damage(path, 0, 1, 2, 3)
    for read in (lambda: list(read_frames(path, lambda *_: None)), lambda: read_nearest(path, 0, np.zeros(1))):
        with pytest.raises(ValueError, match=r"a\.mov has a video stream without frames that can be decoded"):
            read()


def test_a_drawn_video_keeps_the_times_of_the_rest(damaged, tmp_path):
    path, _, _ = damaged
    lost, seen = [], []

    def draw(seconds, frame):
        seen.append(seconds)
        return frame

    redraw_video(path, tmp_path / "b.mp4", draw, lambda seconds, _: lost.append(seconds))
    times = truth_of(tmp_path / "b.mp4").times
    assert len(times) == len(seen) == 60 - len(lost) < 60
    np.testing.assert_allclose(times, seen, atol=1 / 90_000)


def test_a_cut_tail(tmp_path):
    path = write_case(Case("a", "mkv", "h264 B"), tmp_path / "a.mkv")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    lost = []
    found = list(read_frames(path, lambda *failure: lost.append(failure)))
    seconds, reason = lost[-1]
    assert seconds == pytest.approx(found[-1][0] + 0.04)
    assert reason == f"{path} is cut off: its frames end at {seconds:.3f} s, but it should last 2.400 s"
