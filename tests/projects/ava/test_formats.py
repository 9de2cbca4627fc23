"""AVA's files: what is read, what is written, and which line is named where one is wrong."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hiera_det.projects.ava import formats
from hiera_det.projects.ava.rows import Rows

GOOD = "a,0902,0.1,0.2,0.3,0.4,12,1\n"


@pytest.fixture
def read(tmp_path: Path) -> Callable:
    """A function that writes text to rows.csv and reads it as a kind of file."""

    def of(kind: str, text: str) -> Rows:
        path = tmp_path / "rows.csv"
        path.write_text(text, encoding="utf-8", newline="")
        return getattr(formats, f"read_{kind}")(path)

    return of


def test_ground_truth(read: Callable) -> None:
    rows = read("ground_truth", "b,0902,0.1,0.2,0.3,0.4,12,7\na,903.25,0,0,1,1,80,\n\nb,0904,0,0,0,1,1,8\n")
    assert rows.videos == ["b", "a"]
    np.testing.assert_array_equal(rows.video, [0, 1, 0])
    np.testing.assert_array_equal(rows.second, [902, 903.25, 904])
    np.testing.assert_array_equal(rows.boxes, [[0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1], [0, 0, 0, 1]])
    np.testing.assert_array_equal(rows.action, [12, 80, 1])
    np.testing.assert_array_equal(rows.score, [1, 1, 1])
    assert [array.dtype for array in (rows.video, rows.second, rows.boxes, rows.action, rows.score)] == [
        np.int32, np.float64, np.float64, np.int32, np.float64,
    ]  # fmt: skip
    assert rows.empty == set()
    assert len(rows) == 3


def test_ground_truth_without_persons_and_with_windows_line_ends(read: Callable) -> None:
    rows = read("ground_truth", "a,0902,0.1,0.2,0.3,0.4,12\r\na,0903,0,0,1,1,5\r\n")
    np.testing.assert_array_equal(rows.action, [12, 5])
    np.testing.assert_array_equal(rows.score, [1, 1])


def test_keyframes_without_boxes(read: Callable) -> None:
    rows = read("ground_truth", f"c,901\n{GOOD}d,0903.5\n{GOOD}")
    assert rows.empty == {("c", 901.0), ("d", 903.5)}
    assert rows.videos == ["a"]
    assert len(rows) == 2
    assert read("ground_truth", "c,901\n").empty == {("c", 901.0)}


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_empty_file(read: Callable, text: str) -> None:
    rows = read("detections", text)
    assert (len(rows), rows.videos, rows.boxes.shape) == (0, [], (0, 4))


def test_file_of_many_blocks(read: Callable) -> None:
    videos = [f"v{i % 7}" for i in range(60_000)]  # pyarrow numbers the videos of each block anew
    videos[55_000] = "late"
    text = "".join(f"{video},{i},0.1,0.2,0.3,0.4,{i % 80 + 1},{i / 1e5}\n" for i, video in enumerate(videos))
    assert len(text) > 2 << 20
    rows = read("detections", text)
    assert [rows.videos[i] for i in rows.video] == videos
    assert rows.videos == [*(f"v{i}" for i in range(7)), "late"]
    np.testing.assert_array_equal(rows.second, np.arange(60_000))
    np.testing.assert_array_equal(rows.action, np.arange(60_000) % 80 + 1)
    np.testing.assert_array_equal(rows.score, np.arange(60_000) / 1e5)
    np.testing.assert_array_equal(rows.boxes, np.tile([0.1, 0.2, 0.3, 0.4], (60_000, 1)))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,0902,0.1,0.2,0.3,0.4,12", r"7 columns, expected 8 \(video,second,x1,y1,x2,y2,action,person\)"),
        ("a,0902,0.1", "3 columns, expected 8"),
        ("a,0902,0.1,0.2,0.3,0.4,12,1,1", "9 columns"),
        (",0902,0.1,0.2,0.3,0.4,12,1", "the video id is empty"),
        ("a,x,0.1,0.2,0.3,0.4,12,1", "second 'x' is not a number"),
        ("a,nan,0.1,0.2,0.3,0.4,12,1", "second nan"),
        ("a,-1,0.1,0.2,0.3,0.4,12,1", "second -1, expected a finite number from 0"),
        ("a,inf", "second inf"),
        (",0902", "the video id is empty"),
        ("a,0902,0.1,0.2,0.3,0.4,,1", "the action is empty"),
        ("a,0902,0.1,0.2,0.3,0.4,walk,1", "'walk'"),
        ("a,0902,0.1,0.2,0.3,0.4,1.5,1", "'1.5'"),
        ("a,0902,0.1,0.2,0.3,0.4,0,1", "action 0, ids start at 1"),
        ("a,0902,0.1,0.2,0.3,0.4,-1,1", "action -1, ids start at 1"),
        ("a,0902,,0.2,0.3,0.4,12,1", "''"),
        ("a,0902,nan,0.2,0.3,0.4,12,1", r"outside \[0, 1\]"),
        ("a,0902,0.1,0.2,0.3,1.0501,12,1", r"box \[0.1, 0.2, 0.3, 1.0501\] is outside \[0, 1\]"),
        ("a,0902,0.1,0.2,0.3,0.4,3000000000,1", "action 3000000000, ids start at 1 and end at 2147483647"),
        ("a,0902,0.1,0.2,0.3,1_0,12,1", "'1_0'"),
        ("a;0902;0.1;0.2;0.3;0.4;12;1", "1 columns, .*; columns are separated by commas"),
        ("a,0902,-0.5,0.2,0.3,0.4,12,1", r"outside \[0, 1\]"),
        ("a,0902,13,24,99,199,12,1", "fractions of the frame"),
        ("a,0902,0.3,0.2,0.1,0.4,12,1", "corners swapped"),
        ("a,0902,0.1,0.4,0.3,0.2,12,1", "corners swapped"),
    ],
)
def test_bad_row_of_ground_truth_is_named(read: Callable, row: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"rows\.csv, line 5: .*{message}"):
        read("ground_truth", f"{GOOD}\nb,903\n{GOOD}{row}\n{GOOD}")


@pytest.mark.parametrize("score", ["nan", "inf", "-inf", "", "high"])
@pytest.mark.parametrize("kind", ["detections", "person_boxes"])
def test_bad_score_is_named(read: Callable, kind: str, score: str) -> None:
    with pytest.raises(ValueError, match=r"rows\.csv, line 2: .*(finite|high|'')"):
        read(kind, f"{GOOD}a,0902,0.1,0.2,0.3,0.4,12,{score}\n")


def test_first_bad_line_is_named_where_the_first_row_is_bad(read: Callable) -> None:
    with pytest.raises(ValueError, match=r"line 1: 5 columns, expected 7 or 8"):
        read("ground_truth", f"a,b,c,d,e\n{GOOD}")
    with pytest.raises(ValueError, match=r"line 1: .*'second'"):
        read("detections", f"video,second,x1,y1,x2,y2,action,score\n{GOOD}")
    with pytest.raises(ValueError, match=r"line 1: 7 columns, expected 8 \(.*,score\)"):
        read("detections", "a,0902,0.1,0.2,0.3,0.4,12\n")


def test_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"\xff\xfe,0902,0.1,0.2,0.3,0.4,12,1\n")
    with pytest.raises(ValueError, match="utf-8"):
        formats.read_detections(path)


def test_detections_keep_what_the_evaluation_drops(read: Callable) -> None:
    rows = read("detections", "a,0902,0.5,0.2,0.3,0.4,500,-3.5\n")
    np.testing.assert_array_equal(rows.boxes, [[0.5, 0.2, 0.3, 0.4]])
    assert (rows.action.item(), rows.score.item()) == (500, -3.5)


def test_boxes_a_little_outside_are_clipped_and_counted(read: Callable, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        rows = read("detections", f"a,0902,-0.002,0.2,0.3,1.049,12,1\n{GOOD}")
    np.testing.assert_array_equal(rows.boxes, [[0, 0.2, 0.3, 1], [0.1, 0.2, 0.3, 0.4]])
    assert "1 boxes reach beyond the frame, by up to 0.049 of its side (2 in all); clipped" in caplog.text
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_person_boxes_of_slowfast(read: Callable) -> None:
    rows = read("person_boxes", "a,0902,0.1,0.2,0.3,0.4,,0.95\na,0902,0.1,0.2,0.3,0.4,17,0.5\n")
    np.testing.assert_array_equal(rows.action, [-1, 17])
    np.testing.assert_array_equal(rows.score, [0.95, 0.5])


def test_person_boxes_of_mmaction2(tmp_path: Path) -> None:
    path = tmp_path / "boxes.pkl"
    first, second = np.array([[0, 0.1, 0.2, 0.3, 0.9], [0, 0, 1, 1.0005, 0.5]]), np.array([[0.5, 0.5, 1, 1, 0.25]])
    boxes = {"b,c,0902": first, "a,0903": np.zeros((0, 5)), "a,0904": second.astype(np.float32)}
    path.write_bytes(pickle.dumps(boxes))
    rows = formats.read_person_boxes(path)
    assert rows.videos == ["b,c", "a"]
    np.testing.assert_array_equal(rows.video, [0, 0, 1])
    np.testing.assert_array_equal(rows.second, [902, 902, 904])
    np.testing.assert_array_equal(rows.boxes, [[0, 0.1, 0.2, 0.3], [0, 0, 1, 1], [0.5, 0.5, 1, 1]])
    np.testing.assert_array_equal(rows.score, [0.9, 0.5, 0.25])
    np.testing.assert_array_equal(rows.action, [-1, -1, -1])
    assert rows.empty == {("a", 903.0)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1], "holds a list"),
        ({"a0902": np.zeros((1, 5))}, "key 'a0902': expected a key video,second"),
        ({"a,x": np.zeros((1, 5))}, "second 'x' is not a number"),
        ({"a,0902": np.zeros((1, 4))}, r"key 'a,0902': \(1, 4\), expected an \(N, 5\) array"),
        ({"a,0902": [[0, 0, 1, 1, 1]]}, "list, expected"),
        ({"a,0902": np.array([[0, 0, 2, 1, 0.5]])}, r"keyframe a,902: box .* outside \[0, 1\]"),
        ({"a,0902": np.array([[0, 0, 1, 1, np.nan]])}, "keyframe a,902: score nan is not finite"),
    ],
)
def test_bad_pickled_boxes_are_named(tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / "boxes.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=message):
        formats.read_person_boxes(path)


def test_exclusions(read: Callable) -> None:
    assert read("exclusions", "a,0902\n\nb,0903.5\n") == {("a", 902.0), ("b", 903.5)}
    with pytest.raises(ValueError, match=r"line 2: 3 columns"):
        read("exclusions", "a,0902\na,b,0903\n")
    with pytest.raises(ValueError, match=r"line 1: second 'b'"):
        read("exclusions", "a,b\n")


def test_label_map_of_ava(shared_data: Path) -> None:
    names = formats.read_label_map(shared_data / "ava" / "ava_action_list_v2.2_60.pbtxt")
    assert len(names) == 60
    assert list(names) == sorted(names)
    assert (names[1], names[80]) == ("bend/bow (at the waist)", "watch (a person)")
    assert not {2, 16} & set(names)


def test_label_map_of_other_spellings(tmp_path: Path) -> None:
    path = tmp_path / "map.pbtxt"
    path.write_text('label {\n  name: "x {y}"\n  label_id: 7\n  label_type: PERSON_MOVEMENT\n}\nitem{id:2 name:"z"}\n')
    assert formats.read_label_map(path) == {2: "z", 7: "x {y}"}
    assert list(formats.read_label_map(path)) == [2, 7]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no action"),
        ('item {\n name: "x"\n}\n', "line 1: the block lacks its name or id"),
        ('item { name: "x" id: 1 }\nitem { id: 2 display_name: "y" }', "line 2: the block lacks"),
        ('item { name: "x" id: 1 }\nitem { name: "y" id: 1 }', "line 2: id 1, 'y'"),
        ('item { name: "x" id: 0 }', "ids start at 1"),
    ],
)
def test_bad_label_map(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "map.pbtxt"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        formats.read_label_map(path)


def _detections(count: int) -> Rows:
    rng = np.random.default_rng(0)
    return Rows(
        videos=["a", "b"],
        video=rng.integers(0, 2, count).astype(np.int32),
        second=rng.integers(902, 905, count) + rng.choice([0, 0.25], count),
        boxes=np.sort(rng.random((count, 4), dtype=np.float32).astype(np.float64)),
        action=rng.integers(1, 81, count).astype(np.int32),
        score=(rng.random(count, dtype=np.float32) ** 8).astype(np.float64),
        empty={("c", 950.0)},
    )


def test_results_give_back_what_was_detected(tmp_path: Path) -> None:
    path, rows = tmp_path / "new" / "results.csv", _detections(500)
    formats.write_results(path, rows)
    read = formats.read_detections(path)
    assert [read.videos[i] for i in read.video] == [rows.videos[i] for i in rows.video]
    np.testing.assert_array_equal(read.second, rows.second)
    np.testing.assert_array_equal(read.action, rows.action)
    np.testing.assert_array_equal(read.boxes.astype(np.float32), rows.boxes.astype(np.float32))
    np.testing.assert_array_equal(read.score.astype(np.float32), rows.score.astype(np.float32))
    assert read.empty == rows.empty


def test_results_are_ava_s_text(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    box = np.array([[0.25, 0, 0.5, 1]] * 2)
    ones = np.array([3, 80], np.int32)
    seconds, scores = np.array([5, 1000.5]), np.array([0.125, 1e-7])
    formats.write_results(path, Rows(["a"], np.zeros(2, np.int32), seconds, box, ones, scores))
    assert path.read_text() == "a,0005,0.25,0,0.5,1,3,0.125\na,1000.500000,0.25,0,0.5,1,80,1e-07\n"


def test_results_are_whole_or_not_there(tmp_path: Path) -> None:
    path, rows = tmp_path / "results.csv", _detections(5)
    path.write_text("before")
    rows.video[4] = 9  # no such video: fails in the middle
    with pytest.raises(IndexError):
        formats.write_results(path, rows)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
