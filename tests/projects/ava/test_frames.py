from __future__ import annotations

import os
import pickle

import cv2
import numpy as np
import pytest

from hiera_det.data.video import clip_offsets
from hiera_det.projects.ava.data.clips import clip_indices
from hiera_det.projects.ava.data.frames import FrameFolders, read_frame, read_frame_list

COUNT = 90


def _shade(index):
    return 20 + 2 * index


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """One video of 90 frames; frame i is grey of shade 20 + 2 i, its upper left quarter red."""
    folder = tmp_path_factory.mktemp("frames")
    (folder / "a").mkdir()
    for index in range(COUNT):
        frame = np.full((32, 48, 3), _shade(index), np.uint8)
        frame[:16, :24] = (0, 0, 255)  # BGR
        cv2.imwrite(str(folder / "a" / f"a_{index + 1:06d}.jpg"), frame, [cv2.IMWRITE_JPEG_QUALITY, 98])
    return folder


def _indices(clip):
    """Frame numbers, read off the shade."""
    return np.rint((clip[:, -8:, -8:].mean(axis=(1, 2, 3)) - 20) / 2).astype(int).tolist()


def test_indices_are_slowfasts():
    # slowfast.datasets.utils.get_sequence(100, 16 * 4 // 2, 4, 1000): range(100 - 32, 100 + 32, 4)
    assert clip_indices(100, 1000, 16, 4).tolist() == list(range(68, 132, 4))
    assert clip_indices(100, 1000, 8, 8).tolist() == list(range(68, 132, 8))
    assert clip_indices(100, 1000, 16, 4)[8] == 100


def test_indices_are_clamped_at_both_ends():
    assert clip_indices(5, 1000, 8, 4).tolist() == [0, 0, 0, 1, 5, 9, 13, 17]
    assert clip_indices(995, 1000, 8, 4).tolist() == [979, 983, 987, 991, 995, 999, 999, 999]


def test_an_odd_clip_has_the_keyframe_in_the_middle():
    assert clip_indices(100, 1000, 5, 3).tolist() == [94, 97, 100, 103, 106]
    assert clip_indices(100, 1000, 1, 4).tolist() == [100]


def test_the_rate_counts_thirtieths_of_a_second_at_any_fps():
    assert clip_indices(100, 1000, 4, 6, fps=15.0).tolist() == [94, 97, 100, 103]
    assert clip_offsets(4, 15).tolist() == [-1.0, -0.5, 0.0, 0.5]


@pytest.mark.parametrize(("num_frames", "rate"), [(0, 1), (4, -1)])
def test_no_such_clip(num_frames, rate):
    with pytest.raises(ValueError, match=f"{num_frames} frames at rate {rate}"):
        clip_offsets(num_frames, rate)


def test_a_clip_is_rgb_around_the_keyframe(root):
    clip = FrameFolders(root).read("a", 901.5, 8, 4)
    assert clip.shape == (8, 32, 48, 3)
    assert clip.dtype == np.uint8
    assert _indices(clip) == list(range(29, 61, 4))
    red = clip[:, 2:12, 2:20].mean(axis=(0, 1, 2))
    assert red[0] > 240 and red[2] < 20


def test_a_clip_is_clamped_at_the_ends(root):
    source = FrameFolders(root)
    assert _indices(source.read("a", 900, 4, 4)) == [0, 0, 0, 4]
    assert _indices(source.read("a", 902 + 29 / 30, 4, 4)) == [81, 85, 89, 89]


def test_rate_0_repeats_the_keyframe(root):
    assert _indices(FrameFolders(root).read("a", 901, 4, 0)) == [30] * 4


def test_first_second_and_fps(root):
    source = FrameFolders(root, first_second=0, fps=10)
    assert _indices(source.read("a", 3, 4, 6)) == [26, 28, 30, 32]


def test_a_list_says_which_frames_in_which_order(root, tmp_path):
    path = tmp_path / "list.csv"
    order = [(i, frame, video) for i, frame in enumerate((40, 7, 8, 1)) for video in "xy"]
    rows = [f'{video} {"xy".index(video)} {i} a/a_{frame:06d}.jpg ""' for i, frame, video in order]
    path.write_text("original_vido_id video_id frame_id path labels\n" + "\n".join(rows) + "\n")
    source = FrameFolders(root, [path])
    assert set(source.videos) == {"x", "y"}
    for video in "xy":
        assert _indices(source.read(video, 900, 5, 1)) == [39, 39, 39, 6, 7]
    with pytest.raises(ValueError, match="'a' is not among the 2"):
        source.read("a", 900, 4, 1)


def test_a_malformed_list(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text('original_vido_id video_id frame_id path labels\na 0 0 a/1.jpg ""\na 0 1\n')
    with pytest.raises(ValueError, match=r"list\.csv.*Expected 5 columns, got 3.*original_vido_id"):
        read_frame_list(path)
    path.write_text("video,path\na,b\n")
    with pytest.raises(ValueError, match="expected the columns original_vido_id video_id"):
        read_frame_list(path)


def _copy(root, tmp_path):
    (tmp_path / "a").mkdir()
    for path in (root / "a").iterdir():
        (tmp_path / "a" / path.name).write_bytes(path.read_bytes())
    return tmp_path / "a"


def test_a_missing_frame_is_named_and_shifts_no_other(root, tmp_path):
    folder = _copy(root, tmp_path)
    (folder / "a_000031.jpg").unlink()
    source = FrameFolders(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"a_000031\.jpg is missing"):
        source.read("a", 901, 4, 4)
    assert _indices(source.read("a", 902, 4, 1)) == [58, 59, 60, 61]


@pytest.mark.parametrize(("size", "message"), [(0, "cannot be decoded"), (400, "cut off after 400 bytes")])
def test_a_damaged_frame_is_named(root, tmp_path, size, message):
    path = _copy(root, tmp_path) / "a_000031.jpg"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(OSError, match=rf"a_000031\.jpg.*{message}"):
        FrameFolders(tmp_path).read("a", 901, 4, 4)


def test_frames_of_different_size_are_named(root, tmp_path):
    folder = _copy(root, tmp_path)
    cv2.imwrite(str(folder / "a_000031.jpg"), np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(ValueError, match=r"a_000031\.jpg has 16x16 pixels.*48x32"):
        FrameFolders(tmp_path).read("a", 901, 4, 4)


@pytest.mark.parametrize("second", [899.4, 903.5, 30.0])
def test_a_second_outside_the_frames(root, second):
    with pytest.raises(ValueError, match=f"second {second:g} of video a is not among its 90 frames.*900 to 902.967"):
        FrameFolders(root).read("a", second, 4, 4)


def test_up_to_half_a_second_outside_is_clamped(root):
    assert _indices(FrameFolders(root).read("a", 903.4, 2, 30)) == [72, 89]  # index 102 and one second before


def test_nothing_there(root, tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder of frames"):
        FrameFolders(tmp_path / "none")
    with pytest.raises(ValueError, match="no videos in"):
        FrameFolders(tmp_path)
    (tmp_path / "b").mkdir()
    with pytest.raises(ValueError, match="no frames b_000001"):
        FrameFolders(tmp_path).read("b", 900, 1, 1)
    with pytest.raises(ValueError, match="frames at 0 per second"):
        FrameFolders(root, fps=0)


def test_a_source_in_use_can_be_sent_to_a_worker(root):
    source = FrameFolders(root)
    before = source.read("a", 901, 4, 4)
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(copy.read("a", 901, 4, 4), before)
    assert "a" in copy.videos


def test_what_is_no_frame_is_named(root, tmp_path):
    path = _copy(root, tmp_path) / "a_000031.jpg"
    with pytest.raises(OSError, match=r"a_0000\d\d\.jpg cannot be decoded .*48 x 32 pixels are more than"):
        FrameFolders(tmp_path, max_pixels=1000).read("a", 901, 4, 4)
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    with pytest.raises(OSError, match=r"a_000031\.jpg cannot be decoded \(24 bytes\)$"):
        read_frame(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(OSError, match=r"a_000031\.jpg cannot be read: it is a named pipe"):
        read_frame(path)
