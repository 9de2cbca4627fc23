from __future__ import annotations

import pytest

from hiera_det.inputs.tables import read_boxes, read_times


@pytest.fixture
def table(tmp_path):
    """Writes a CSV."""

    def _write(content):
        path = tmp_path / "t.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return _write


def test_boxes(table):
    text = '\ufeffid,x1,y1,x2,y2\r\nb.jpg,0,1.5,2,3\r\n\r\n"a,1.jpg",1e1,0,20,5\r\nb.jpg,0,0,1,1\r\n'
    assert read_boxes(table(text)) == {
        "b.jpg": ((0.0, 1.5, 2.0, 3.0), (0.0, 0.0, 1.0, 1.0)),
        "a,1.jpg": ((10.0, 0.0, 20.0, 5.0),),
    }


def test_times(table):
    assert read_times(table("video_id,seconds\nb,9\na,1.0004\nb,3\nb,0.5\n")) == {"b": [0.5, 3.0, 9.0], "a": [1.0]}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,0,0,5", r"t\.csv, line 3: 4 columns, expected 5: id,x1,y1,x2,y2"),
        ("a,0,0,5,five", r"line 3: 'five', expected a number of at least 0"),
        ("a,0,0,5,nan", r"line 3: 'nan', expected"),
        ("a,0,0,5,inf", r"line 3: 'inf', expected"),
        ("a,-1,0,5,5", r"line 3: '-1', expected"),
        ("a,5,0,5,5", r"line 3: box 5,0,5,5 has no area; expected x1 < x2 and y1 < y2"),
        ("a,0,6,5,5", r"line 3: box 0,6,5,5 has no area"),
        ('a,0,0,5,5\n"open', r"line \d: not a CSV file in UTF-8"),
    ],
)
def test_malformed_boxes(table, rows, message):
    with pytest.raises(ValueError, match=message):
        read_boxes(table(f"id,x1,y1,x2,y2\na,0,0,1,1\n{rows}\n"))


@pytest.mark.parametrize("content", ["", "a,0,0,1,1\n", "id,x1,y1,w,h\na,0,0,1,1\n"])
def test_another_header(table, content):
    with pytest.raises(ValueError, match=r"t\.csv, line 1: .*expected the header id,x1,y1,x2,y2"):
        read_boxes(table(content))


def test_no_rows(table):
    with pytest.raises(ValueError, match=r"t\.csv has no rows below its header"):
        read_boxes(table("id,x1,y1,x2,y2\n"))


def test_not_utf_8(table):
    with pytest.raises(ValueError, match=r"t\.csv, line \d+: not a CSV file in UTF-8"):
        read_boxes(table(b"id,x1,y1,x2,y2\n\xff\xfe,0,0,1,1\n"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,-0.1", r"line 2: '-0\.1'"),
        ("a,1,2", r"line 2: 3 columns, expected 2: video_id,seconds"),
        ("a,1\na,1.0001", r"line 3: second 1\.000 of video 'a' is there already"),
    ],
)
def test_malformed_times(table, rows, message):
    with pytest.raises(ValueError, match=message):
        read_times(table(f"video_id,seconds\n{rows}\n"))


def test_every_bad_row_is_named_and_what_is_clear_is_read(table):
    rows = ["a,0,0,1,1,", "a,0,0,x,1", "a, 0 ,0, 2,2", ",,,,", *["b,3,0,1,1"] * 12, "c,1,2"]
    with pytest.raises(ValueError) as caught:
        read_boxes(table("id, x1, y1, x2, y2,\n" + "\n".join(rows) + "\n"))
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("t.csv, line 3: 'x', expected a number of at least 0")
    assert lines[1].startswith("  line 6: box 3,0,1,1 has no area")
    assert (len(lines), lines[-1]) == (11, "  and 4 more")
    good = table("id, x1, y1, x2, y2,\n" + "\n".join([rows[0], rows[2], rows[3]]))
    assert read_boxes(good) == {"a": ((0, 0, 1, 1), (0, 0, 2, 2))}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_says_the_encoding(table, encoding):
    assert read_times(table("video_id,seconds\nZähler,9\n".encode(encoding))) == {"Zähler": [9.0]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("video_id,seconds\n走路,9\n".encode("gbk"), r"t\.csv, line 2: not UTF-8.*走路"),
        (b"\x1f\x8b\x08\x00", r"t\.csv is compressed by gzip"),
    ],
)
def test_what_is_no_text_is_named(table, content, message):
    with pytest.raises(ValueError, match=message):
        read_times(table(content))
