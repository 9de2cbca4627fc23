"""Text of any origin: read by its byte order mark, or refused by what it is."""

from __future__ import annotations

import codecs
import gzip
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from hiera_det.utils.text import decode_text, read_text, text_lines

TEXT = "id,name\r\n1,Zähler\n2,走路\n"
READERS = {"read_text": read_text, "text_lines": lambda path: "".join(text_lines(path))}
readers = pytest.mark.parametrize("read", READERS.values(), ids=READERS.keys())


@readers
@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        TEXT.encode("utf-16"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-32"),
    ],
    ids=["utf-8", "utf-8-bom", "utf-16", "utf-16-be", "utf-32"],
)
def test_a_byte_order_mark_is_obeyed_and_left_out(tmp_path: Path, read, content: bytes) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    assert read(path) == TEXT
    assert decode_text(content, "a.csv") == TEXT


@readers
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (TEXT.replace("ä", "a").encode("gbk"), r"a\.csv, line 3: not UTF-8; .*'走路' in GBK"),
        (TEXT.replace("走路", "b").encode("cp1252"), r"a\.csv, line 2: not UTF-8; .*'ähler' in Windows-1252"),
        (gzip.compress(TEXT.encode()), r"a\.csv is compressed by gzip; unpack it"),
        (b"PK\x03\x04rest", r"a\.csv is a ZIP archive or a spreadsheet"),
        (pickle.dumps([TEXT]), r"a\.csv is a pickle"),
        (TEXT.encode("utf-16-le"), r"a\.csv looks like UTF-16 without a byte order mark"),
        (b"a,1\nb,\x00" + bytes(range(1, 100)), r"a\.csv looks like a binary or damaged file"),
        (b"a,1\n" * 2000 + b"b\0,2\n", r"a\.csv, line 2001: a NUL byte"),
        (TEXT.encode("utf-16")[:-1], r"a\.csv begins as UTF-16, but is cut off|a\.csv is cut off"),
    ],
    ids=["gbk", "latin", "gz", "xlsx", "pickle", "utf-16-without-mark", "binary", "nul", "cut-off"],
)
def test_what_is_no_text_is_named(tmp_path: Path, read, content: bytes, message: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read(path)


def test_the_locale_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(TEXT.encode())
    code = f"from hiera_det.utils.text import read_text; assert read_text({str(path)!r}) == {TEXT!a}"
    plain = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-c", code], check=True, env=plain)
