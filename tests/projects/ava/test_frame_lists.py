"""Frame lists and names: which file shows which second."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from hiera_det.config import config_from
from hiera_det.projects.ava.config import defaults
from hiera_det.projects.ava.data.frame_lists import read_frame_list, read_frame_lists
from hiera_det.projects.ava.data.frame_names import FrameNames
from hiera_det.projects.ava.data.frames import FrameFolders
from hiera_det.projects.ava.data.sources import open_source

HEADER = "original_vido_id video_id frame_id path labels"
COUNT = 90


def write_list(path, rows):
    path.write_text("\n".join([HEADER, *(f'{video} 0 {number} {file} ""' for video, number, file in rows)]) + "\n")
    return path


def write_frames(folder, names):
    """Frames whose shade says which one it is."""
    folder.mkdir(parents=True)
    for index, name in enumerate(names):
        cv2.imwrite(str(folder / name), np.full((32, 48, 3), 20 + 2 * index, np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 98])


def shown(source, video, second):
    """Number of the frame that a keyframe shows."""
    return round((float(source.read(video, second, 1, 0).mean()) - 20) / 2)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A video of 3 s, and a list of each half of it."""
    folder = tmp_path_factory.mktemp("halves")
    files = [f"vid/vid_{index + 1:06d}.jpg" for index in range(COUNT)]
    write_frames(folder / "frames" / "vid", [file.split("/")[1] for file in files])
    rows = [("vid", number, file) for number, file in enumerate(files)]
    write_list(folder / "train.csv", rows[:45])
    write_list(folder / "val.csv", rows[45:])
    write_list(folder / "shuffled.csv", [rows[i] for i in np.random.default_rng(0).permutation(COUNT)])
    return folder


def config(root, **datasets):
    node = {"ROOT": str(root), "FRAME_LISTS": ["train.csv", "val.csv"], "FIRST_SECOND": 900, **datasets}
    return config_from({"DATASETS": node}, (), defaults(), source="test")


def test_lists_are_by_split_and_the_frame_id_says_the_second(root):
    train, test = (open_source(config(root), split) for split in ("TRAIN", "TEST"))
    assert [shown(train, "vid", second) for second in (900, 901, 901.4)] == [0, 30, 42]
    assert [shown(test, "vid", second) for second in (901.5, 902, 902.9)] == [45, 60, 87]
    with pytest.raises(ValueError, match=r"among its 45 frames, which show seconds 901.5 to 902.967"):
        test.read("vid", 900.9, 1, 0)
    assert test.read("vid", 901.5, 3, 30).shape[0] == 3  # clamped at its own ends


def test_one_list_is_of_both_splits_and_more_than_two_are_refused(root):
    source = open_source(config(root, FRAME_LISTS=["val.csv"]), "TRAIN")
    assert shown(source, "vid", 902) == 60
    with pytest.raises(ValueError, match=r"FRAME_LISTS has 3 entries, expected the list of TRAIN and that of TEST"):
        open_source(config(root, FRAME_LISTS=["val.csv"] * 3), "TEST")


@pytest.mark.parametrize("lists", [["train.csv", "val.csv"], ["shuffled.csv"], ["shuffled.csv", "val.csv"]])
def test_lists_read_as_one_give_every_frame_its_second(root, lists):
    source = FrameFolders(root / "frames", [root / name for name in lists])
    assert len(source.paths("vid")) == COUNT
    assert [shown(source, "vid", 900 + i / 30) for i in range(COUNT)] == list(range(COUNT))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ([0, 1, 3], r"list.csv, video a: frame_id 2 is missing"),
        ([0, 1, 9], r"video a: frame_ids 2 to 8 are missing"),
        ([0, 2, 2, 1], r"video a: frame_id 2 comes twice"),
        ([-1, 0], r"video a: frame_id -1, expected a number from 0"),
        (list(range(0, 60, 2)), r"(?s)frame_id 1 is missing.*frame_id 19 is missing\n  and 19 more"),
    ],
)
def test_frame_ids_that_are_missing_or_twice_are_named(tmp_path, numbers, message):
    rows = [("a", number, f"a/{i}.jpg") for i, number in enumerate(numbers)] + [("b", 0, "b/0.jpg")]
    with pytest.raises(ValueError, match=message):
        read_frame_list(write_list(tmp_path / "list.csv", rows))


def test_lists_that_contradict_each_other_are_an_error(tmp_path):
    one = write_list(tmp_path / "one.csv", [("a", 0, "a/0.jpg"), ("a", 1, "a/1.jpg")])
    for rows, message in (
        ([("a", 1, "a/x.jpg")], "two.csv, video a, which is in another list too: frame_id 1 is a/1.jpg and a/x.jpg"),
        ([("a", 3, "a/3.jpg")], "frame_id 2 is missing"),
    ):
        with pytest.raises(ValueError, match=message):
            read_frame_lists([one, write_list(tmp_path / "two.csv", rows)])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEADER.encode() + b"\n", "has no rows"),
        (HEADER.encode() + b'\na 0 0  ""\n', "has an empty field"),
        (HEADER.encode() + b'\n\xd7\xdf\xc2\xb7 0 0 a/1.jpg ""\n', r"line 2: not UTF-8; .*'走路 0 0 a/1' in GBK"),
        (b"\x1f\x8b\x08\x00", "compressed by gzip"),
        (HEADER.replace(" ", ",").encode() + b"\na,0,0,p,\n", "expected the columns original_vido_id"),
    ],
)
def test_what_is_no_list_is_named(tmp_path, content, message):
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(ValueError, match=rf"list\.csv.*{message}"):
        read_frame_list(tmp_path / "list.csv")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path, encoding):
    (tmp_path / "list.csv").write_text(f'{HEADER}\r\nZähler 0 0 a/1.jpg ""\r\n', encoding=encoding, newline="")
    assert list(read_frame_list(tmp_path / "list.csv")) == ["Zähler"]


@pytest.mark.parametrize(
    ("pattern", "start", "video", "folder"),
    [
        ("img_{:05d}.jpg", 1, "a", "a"),
        ("img_{:05d}.jpg", 0, "a", "a"),
        ("{:d}.jpg", 1, "a/b", "a/b"),
        ("{}.png", 1, "a/b", "a/b"),
        ("{video}_{:06d}.jpg", 1, "x/y/b", "x/y/b"),
        ("{video}-{:04d}.jpg", 0, "a", "a"),
    ],
)
def test_frames_are_named_by_a_pattern(tmp_path, pattern, start, video, folder):
    last = video.rpartition("/")[2]
    names = [pattern.format(number, video=last) for number in range(start, start + 12)]
    write_frames(tmp_path / folder, names)
    (tmp_path / folder / "notes.txt").write_text("")
    source = FrameFolders(tmp_path, first_second=0, fps=10, names=pattern)
    assert list(source.videos) == [video]
    assert [shown(source, video, second) for second in (0, 0.5, 1.1)] == [0, 5, 11]


@pytest.mark.parametrize("pattern", ["img.jpg", "img_%05d.jpg", "{:05d}_{:05d}.jpg", "{name}.jpg", "{:05d", "a/{}.jpg"])
def test_a_pattern_has_one_number(pattern):
    with pytest.raises(ValueError, match=r"expected a file's name with one number, such as img_\{:05d\}\.jpg"):
        FrameNames(pattern)


def test_frames_of_another_name_are_said(tmp_path):
    write_frames(tmp_path / "a", ["img_00001.jpg"])
    with pytest.raises(ValueError, match=r"no frames a_000001\.jpg .* img_00001\.jpg is there: DATASETS\.FRAME_NAMES"):
        FrameFolders(tmp_path).read("a", 900, 1, 1)
    source = open_source(config(tmp_path, FRAMES=".", FRAME_LISTS=[], FRAME_NAMES="img_{:05d}.jpg"), "TEST")
    assert shown(source, "a", 900) == 0
