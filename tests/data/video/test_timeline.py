"""Times of frames whose own are missing, are those of others, or go backward."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from hiera_det.data.video import read_frames, read_nearest
from hiera_det.data.video.timeline import timed
from tests.data.video.generated import Case, truth_of, write_case


def times(given, *, stray=False, by_order=False, joined=False, duration=10):
    """Of frames with these timestamps, one each 10 ticks by the header; a tick is a second."""
    video = SimpleNamespace(
        path="a.mpg", base=Fraction(1, 100), times_stray=stray, times_by_order=by_order, step=lambda: 0.1, time_of=float
    )
    frames = [SimpleNamespace(pts=pts, duration=duration) for pts in given]
    return [time for time, _ in timed(video, frames, joined=joined)]


LONG = list(range(0, 500, 10))


@pytest.mark.parametrize("given", [LONG, [0, 5, 7, 40, 100], [0, 0, 10, 10, 20], [7]])
def test_ascending_times_stay(given):
    assert times(given) == given


def test_a_frame_without_a_time_follows_the_one_before_it():
    assert times([0, None, None, 30, None, 50]) == [0, 10, 20, 30, 40, 50]
    with pytest.raises(ValueError, match=r"a\.mpg has frames without timestamps; remux it"):
        times([None, 10])


def test_times_of_other_frames():
    """Six frames come two frames early, as FFmpeg reads some VOB; the times behind them agree with their durations."""
    strayed = [*LONG[:8], *(time - 20 for time in LONG[8:14]), *LONG[14:]]
    assert times(strayed, stray=True) == LONG
    assert times(strayed[:12], stray=True) == LONG[:12]  # the file ends before they do


def test_a_single_time_that_is_too_late():
    """The times behind it are right, and must not be moved."""
    late = [*LONG[:8], 100, *LONG[9:]]  # 80 is
    assert times(late, stray=True) == [*LONG[:8], 100, 100, *LONG[10:]]
    assert times(late, joined=True) == [*LONG[:8], 100, 100, *LONG[10:]]


def test_times_that_go_backward():
    with pytest.raises(ValueError, match=r"timestamps of a\.mpg go backward, from 490\.000 s to 0\.000 s"):
        times(LONG * 2)
    with pytest.raises(ValueError, match="go backward"):
        times(LONG * 2, stray=True)
    assert times(LONG * 2, joined=True) == list(range(0, 1000, 10))


def test_sorted_times():
    assert times([10, 40, 20, 30, 70, 50, 60], by_order=True) == [10, 20, 30, 40, 50, 60, 70]


def test_two_recordings_in_one_file(tmp_path):
    path = write_case(Case("a", "ts", "h264 B"), tmp_path / "a.ts")
    truth = truth_of(path)
    path.write_bytes(path.read_bytes() * 2)
    found = list(read_frames(path))
    np.testing.assert_allclose([seconds for seconds, _ in found], np.arange(120) / 25, atol=1e-9)
    np.testing.assert_array_equal(read_nearest(path, 1, np.ones(1))[0], truth.frames[25])
    with pytest.raises(ValueError, match=r"timestamps of .*a\.ts go backward, from 2\.360 s to 0\.000 s"):
        read_nearest(path, 4, np.array([4.0]))
