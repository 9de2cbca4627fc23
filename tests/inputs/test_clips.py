from __future__ import annotations

import logging

import pytest

from hiera_det.inputs import clips
from hiera_det.inputs.clips import clips_at, clips_every
from hiera_det.inputs.items import Item
from hiera_det.inputs.reading import UnreadableItemError, read_item
from tests.data.video.generated import Case, write_case

VIDEOS = [Item("b/x.mp4", "/d/b/x.mp4"), Item("a.mkv", "/d/a.mkv")]


@pytest.fixture
def lengths(monkeypatch):
    """Sets what videos last, in seconds; an error is raised instead."""

    def _set(*seconds):
        found = iter(seconds)

        def look_up(path):
            value = next(found)
            if isinstance(value, Exception):
                raise value
            return value

        monkeypatch.setattr(clips, "video_duration", look_up)

    return _set


@pytest.mark.parametrize(
    ("length", "every", "times"),
    [
        (5.0, 1.0, [0.5, 1.5, 2.5, 3.5, 4.5]),
        (5.0, 2.0, [1.0, 3.0]),  # not at 5, its end
        (5.001, 2.0, [1.0, 3.0, 5.0]),
        (4.99, 10.0, [2.495]),  # shorter than half the spacing: its middle
        (5.0, 10.0, [2.5]),
        (5.1, 10.0, [5.0]),
        (1.0, 1 / 3, [0.167, 0.5, 0.833]),
    ],
)
def test_times(lengths, length, every, times):
    lengths(length)
    assert [clip.time for clip in clips_every(VIDEOS[:1], every)] == times


def test_clips_of_several_videos(lengths):
    lengths(2.0, 1.5)
    assert clips_every(VIDEOS, 1.0) == [
        Item("b/x.mp4@0.500", "/d/b/x.mp4", time=0.5),
        Item("b/x.mp4@1.500", "/d/b/x.mp4", time=1.5),
        Item("a.mkv@0.500", "/d/a.mkv", time=0.5),
    ]


def test_a_broken_video_keeps_its_place(lengths, caplog):
    lengths(ValueError("video /d/b/x.mp4 cannot be opened"), 1.0)
    assert [clip.id for clip in clips_every(VIDEOS, 1.0)] == ["b/x.mp4@0.000", "a.mkv@0.500"]
    assert "b/x.mp4 cannot be opened" in caplog.text


@pytest.mark.parametrize("every", [0, -1, float("nan"), float("inf"), 0.0001])
def test_spacing(every):
    with pytest.raises(ValueError, match=r"expected a number of at least 0\.001"):
        clips_every(VIDEOS, every)


def test_clips_at(tmp_path, caplog):
    (tmp_path / "t.csv").write_text("video_id,seconds\na.mkv,7\na.mkv,2.25\n")
    with caplog.at_level(logging.INFO):
        clips = clips_at(VIDEOS, tmp_path / "t.csv")
    assert [(clip.id, clip.time) for clip in clips] == [("a.mkv@2.250", 2.25), ("a.mkv@7.000", 7.0)]
    assert "1 of 2 videos have no time" in caplog.text


def test_times_of_unknown_videos(tmp_path):
    (tmp_path / "t.csv").write_text("video_id,seconds\na.mkv,7\na,2\n")
    with pytest.raises(ValueError, match=r"1 video ids are not among the 2 videos, such as 'a'; .* like 'b/x\.mp4'"):
        clips_at(VIDEOS, tmp_path / "t.csv")


def test_the_clips_that_a_cut_video_lacks_are_there_to_fail(tmp_path):
    whole = write_case(Case("a", "mkv", "h264 B", frames=100), tmp_path / "a.mkv")
    path = tmp_path / "cut.mkv"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    clips = clips_every([Item("cut.mkv", str(path))], 1.0)
    assert [clip.time for clip in clips] == [0.5, 1.5, 2.5, 3.5]
    read_item(clips[0], num_frames=2, rate=1, max_pixels=None)
    with pytest.raises(UnreadableItemError, match=r"item cut\.mkv@3\.500: .*cut\.mkv is cut off"):
        read_item(clips[3], num_frames=2, rate=1, max_pixels=None)
