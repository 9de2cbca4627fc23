"""AVA's tables as others write them: what has one meaning is read, and all that has none is named."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hiera_det.projects.ava import formats
from hiera_det.projects.ava.rows import TOLERANCE

GOOD = "a,0902,0.1,0.2,0.3,0.4,12,1"
READERS = ("ground_truth", "detections", "person_boxes")
each_reader = pytest.mark.parametrize("kind", READERS)


@pytest.fixture
def read(tmp_path: Path) -> Callable:
    """A function that writes text, or bytes, to rows.csv and reads it as a kind of file."""

    def of(kind: str, content: str | bytes):
        (tmp_path / "rows.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
        return getattr(formats, f"read_{kind}")(tmp_path / "rows.csv")

    return of


@each_reader
@pytest.mark.parametrize(
    "content",
    [
        f"{GOOD}\nb,0903\n{GOOD}\n".encode("utf-8-sig"),
        f"{GOOD}\nb,0903\n{GOOD}\n".encode("utf-16"),
        f"{GOOD}\r\nb,0903\r\n{GOOD}\r\n".encode(),
        f"{GOOD}\rb,0903\r{GOOD}\r".encode(),
        f"{GOOD},\nb,0903,\n{GOOD},\n".encode(),
        f"{GOOD}\nb,0903,,,,,,\n{GOOD}\n".encode(),
        f"\n{GOOD.replace(',', ' , ')}\n  \nb , 0903\n,,,,,,,\n{GOOD}".encode(),
        b'"a","0902","0.1","0.2","0.3","0.4","12","1"\n"b","0903"\n' + GOOD.encode(),
        f"{GOOD.replace(',12,', ',12.0,')}\nb,903.0\n{GOOD}\n".encode(),
    ],
    ids=["bom", "utf-16", "crlf", "cr", "trailing", "empty-fields", "spaces", "quotes", "float-ids"],
)
def test_what_has_one_meaning_is_read(read, kind, content):
    rows = read(kind, content)
    assert (rows.videos, rows.video.tolist(), rows.second.tolist()) == (["a"], [0, 0], [902, 902])
    np.testing.assert_array_equal(rows.boxes, [[0.1, 0.2, 0.3, 0.4]] * 2)
    assert (rows.action.tolist(), rows.score.tolist(), rows.empty) == ([12, 12], [1, 1], {("b", 903.0)})


def test_what_was_taken_is_counted(read, caplog):
    caplog.set_level(logging.INFO)
    read("detections", f"{GOOD},\n{GOOD.replace(',12,', ',12.0,')}\n{GOOD},\n")
    assert "2 rows with trailing commas" in caplog.text and "1 rows with actions such as 12.0" in caplog.text


@each_reader
def test_all_bad_rows_are_named_by_their_lines(read, kind):
    lines = [GOOD] * 40
    for number in range(3, 33, 2):
        lines[number - 1] = GOOD.replace("0.4", "1.4")
    with pytest.raises(ValueError) as caught:
        read(kind, "\n".join(lines))
    text = str(caught.value).splitlines()
    assert text[0].endswith("rows.csv, line 3: box [0.1, 0.2, 0.3, 1.4] is outside [0, 1]; expected x1, y1, x2, y2 as"
                            " fractions of the frame")  # fmt: skip
    assert [line.split(":")[0] for line in text[1:10]] == [f"  line {number}" for number in range(5, 23, 2)]
    assert text[10:] == ["  and 5 more"]


def test_person_boxes_without_action_shift_no_line(read):
    rows = read("person_boxes", f"{GOOD.replace(',12,', ',-1,')}\n{GOOD.replace(',12,', ',,')}\n")
    assert rows.action.tolist() == [-1, -1]
    with pytest.raises(ValueError, match=r"rows\.csv, line 3: score nan is not finite$"):
        read("person_boxes", "a,0902,0.1,0.2,0.3,0.4,-1,0.9\na,0902,0.1,0.2,0.3,0.4,,0.9\na,0902,0,0,1,1,-1,nan\n")
    for action in ("0", "-2"):
        with pytest.raises(ValueError, match=rf"line 1: action {action}, ids start at 1"):
            read("person_boxes", GOOD.replace(",12,", f",{action},"))


@each_reader
def test_boxes_are_clipped_up_to_the_tolerance(read, kind, caplog):
    edge = f"a,0902,{-TOLERANCE},0.2,0.3,{1 + TOLERANCE},12,1"
    np.testing.assert_array_equal(read(kind, edge).boxes, [[0, 0.2, 0.3, 1]])
    assert "1 boxes reach beyond the frame, by up to 0.05" in caplog.text
    with pytest.raises(ValueError, match=r"line 2: .*these look like pixels: divide by width and height"):
        read(kind, f"{GOOD}\na,0902,10,20,110,220,12,1\n")


@pytest.mark.parametrize("kind", (*READERS, "exclusions", "label_map"))
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("走路,0902,0.1,0.2,0.3,0.4,12,1\n".encode("gbk"), r"rows\.csv, line 1: not UTF-8; .*走路"),
        (b"\x1f\x8b\x08\x00\x00", r"rows\.csv is compressed by gzip; unpack it"),
        ("a,0902,0.1,0.2,0.3,0.4,12,1\n".encode("utf-16-le"), r"rows\.csv looks like UTF-16 without"),
        (b"a,09\x0002,0.1,0.2,0.3,0.4,12,1\n", r"rows\.csv looks like a binary"),
    ],
    ids=["gbk", "gz", "utf-16-without-mark", "nul"],
)
def test_what_is_no_text_is_named_by_every_reader(read, kind, content, message):
    with pytest.raises(ValueError, match=message):
        read(kind, content)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_exclusions_of_any_encoding(read, encoding):
    assert read("exclusions", "a,0902\r\n b , 903 ,\n\n".encode(encoding)) == {("a", 902.0), ("b", 903.0)}


def test_all_bad_exclusions_are_named(read):
    with pytest.raises(ValueError, match=r"(?s)line 1: second 'x'.*line 3: 3 columns, expected video,second$"):
        read("exclusions", "a,x\na,1\na,1,2\n")


def test_all_bad_keys_of_a_pickle_are_named(tmp_path):
    path = tmp_path / "boxes.pkl"
    good = np.array([[0, 0, 1, 1.04, 0.5]])
    path.write_bytes(pickle.dumps({"a,0902": good, "b, 3": np.zeros((0,)), "c,1": np.zeros((0, 4))}))
    rows = formats.read_person_boxes(path)
    assert rows.boxes.tolist() == [[0, 0, 1, 1]] and rows.empty == {("b", 3.0), ("c", 1.0)}
    bad = {"a,0902": good, "a,902": good, "b,1": good + 1, "c": good, "d,1": np.zeros((1, 4))}
    path.write_bytes(pickle.dumps(bad))
    with pytest.raises(ValueError) as caught:
        formats.read_person_boxes(path)
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("boxes.pkl, key 'a,902': the keyframe has a key before, in another spelling")
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["keyframe b,1", "key 'c'", "key 'd,1'"]


def test_a_byte_order_mark_within_a_file(tmp_path):
    """Of two files that were joined: the second one's first row would be of another video."""
    (tmp_path / "ex.csv").write_text("a,0902\n\ufeffa,0903\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"ex\.csv, line 2: the video id has a byte order mark in it"):
        formats.read_exclusions(tmp_path / "ex.csv")
    row = "a,0902,0.1,0.1,0.5,0.5,1,1\n"
    (tmp_path / "gt.csv").write_text(row + "\ufeff" + row, encoding="utf-8")
    with pytest.raises(ValueError, match=r"gt\.csv, line 2: the video id has a byte order mark"):
        formats.read_ground_truth(tmp_path / "gt.csv")


@each_reader
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"{GOOD}\n{'x' * 200_000},5\n", r"line 2 is no line of a table: field larger"),
        (f'{GOOD}\n"a,5\n{GOOD}\n' + f"{GOOD}\n" * 50_000, r"line 2: 1 columns"),
        ("a," * 600_000, r"line 1 has 1048576 characters or more"),
        (f"{GOOD}\n" * 1000 + "\0" * 10, "line 1001: a NUL byte"),
        (f"a,{'9' * 5000},0.1,0.2,0.3,0.4,12,1\n", "line 1: second 9999"),
        ("a,1,0.1,0.2,0.3,0.4,1e400,1\n", "line 1: .*1e400"),
    ],
    ids=["long", "quote", "line", "nul", "digits", "inf"],
)
def test_hostile_tables(read: Callable, kind: str, content: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"rows\.csv.*{message}") as caught:
        read(kind, content)
    assert len(str(caught.value)) < 1500
