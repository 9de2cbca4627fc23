"""A read at a time gives, to the bit, the frame nearest to it that decoding from the beginning gives."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from hiera_det.data.video import read_frames, read_nearest, video_duration
from tests.data.video.generated import CASES, Case, deviation, times_to_try, truth_of, write_case


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name} {case.codec}")
def test_every_container_and_codec(tmp_path, case):
    path = write_case(case, tmp_path / f"a.{case.suffix}")
    truth = truth_of(path)
    # Of "-0.5 s" mp4 shows what lies behind its edit list's beginning alone.
    assert len(truth.frames) == (case.frames if "-0.5" not in case.name or case.suffix != "mp4" else case.frames - 12)
    assert [deviation(path, truth, time) for time in times_to_try(truth.times)] == [0.0] * len(
        times_to_try(truth.times)
    )
    found = list(read_frames(path))
    np.testing.assert_allclose([seconds for seconds, _ in found], truth.times, atol=1e-9)
    np.testing.assert_array_equal([frame for _, frame in found], truth.frames)
    last_step = truth.times[-1] - truth.times[-2]
    if not case.uneven:
        assert video_duration(path) == pytest.approx(truth.times[-1] + last_step, abs=0.0011)  # some count in ms


@pytest.mark.parametrize(("suffix", "codec"), [("ts", "h264 B"), ("ts", "hevc"), ("mpg", "mpeg2")])
def test_a_recording_that_begins_within_a_group_of_frames(tmp_path, suffix, codec):
    path = write_case(Case("a", suffix, codec), tmp_path / f"a.{suffix}")
    content = path.read_bytes()
    unit = 188 if suffix == "ts" else 2048
    path.write_bytes(content[len(content) // 4 // unit * unit :])
    truth = truth_of(path)
    assert 30 < len(truth.frames) < 60
    assert max(deviation(path, truth, time) for time in times_to_try(truth.times)) == 0


def test_the_earlier_of_two_frames_at_the_same_distance(tmp_path):
    path = write_case(Case("a", "mkv", "mjpeg", fps=Fraction(4), frames=8), tmp_path / "a.mkv")
    truth = truth_of(path)  # 0, 0.25, 0.5, …: exact as floats
    for number in range(7):
        middle = 0.25 * number + 0.125
        np.testing.assert_array_equal(read_nearest(path, middle, np.array([middle]))[0], truth.frames[number])


@pytest.fixture(scope="module")
def trials(shared_data):
    folder = shared_data.parent / "trials" / "video"
    if not folder.is_dir():
        pytest.skip(f"no trials at {folder}")
    return folder


@pytest.mark.parametrize(
    ("name", "seconds"),
    [("q.ts", 5), ("q_longgop.ts", 12), ("live.webm", 5), ("vfrq.mp4", 10), ("av1.mp4", 5), ("fps1b.mp4", 10)],
)
def test_trials(trials, name, seconds):
    """The grey of the top 8 rows is 20 x the second."""
    path = trials / name
    assert video_duration(path) == seconds
    truth = truth_of(path)
    for time in np.arange(0, seconds, 0.25):
        assert deviation(path, truth, time) == 0
        shown = truth.times[truth.nearest(time)]
        got = read_nearest(path, time, np.array([time]))[0]
        assert got[:8].mean() == pytest.approx(20 * shown, abs=4)  # AV1 is off by 3
