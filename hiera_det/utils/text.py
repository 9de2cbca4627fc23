"""Text from files of unknown origin: UTF-8, or what a byte order mark says; anything else is named, never guessed."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from pathlib import Path

from hiera_det.utils.regular import open_regular

__all__ = ["MAX_BYTES", "NotText", "decode_text", "read_text", "text_encoding", "text_lines"]

MAX_BYTES = 16 << 20  # of a file of settings or names

_MARKS = {  # UTF-32's begins with UTF-16's
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_NO_TEXT = {
    b"\x1f\x8b": "compressed by gzip; unpack it (gunzip)",
    b"BZh": "compressed by bzip2; unpack it (bunzip2)",
    b"\xfd7zXZ\0": "compressed by xz; unpack it (unxz)",
    b"\x28\xb5\x2f\xfd": "compressed by zstd; unpack it (unzstd)",
    b"PK\x03\x04": "a ZIP archive or a spreadsheet (.xlsx, .ods); unpack it, or save the sheet as CSV in UTF-8",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet or document (.xls, .doc); save it as text in UTF-8",
    b"%PDF": "a PDF; save the table as text in UTF-8",
    b"PAR1": "a Parquet file; save it as CSV in UTF-8",
    b"\x80\x02": "a pickle",
    b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
}
_HEAD = 4096  # bytes that are looked at for what a file is
_SHOWN = 12  # bytes in a message
_LONGEST_LINE = 1 << 20  # characters
_OTHERS = {"GBK": "gb18030", "Windows-1252": "cp1252"}


class NotText(ValueError):
    """A file that is no text in UTF-8 or with a byte order mark; the message names it and says what it looks like."""


def text_encoding(source: str | Path | bytes, name: str = "") -> str:
    """Tell a text's encoding from its first bytes: "utf-8", or by a byte order mark "utf-8-sig", "utf-16", "utf-32".

    Args:
        source: a file, or its content.
        name: of the content, for messages.

    Raises:
        OSError: the file cannot be read.
        NotText: it is compressed or no text at all; the message says what it is.
    """
    if isinstance(source, bytes):
        head = source[:_HEAD]
    else:
        name = str(source)
        with open_regular(source) as file:
            head = file.read(_HEAD)
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            return encoding
    for magic, what in _NO_TEXT.items():
        if head.startswith(magic):
            raise NotText(f"{name} is {what}; expected a text file in UTF-8")
    if b"\0" in head:
        wide = head[1::2].count(0) > len(head) // 4 or head[::2].count(0) > len(head) // 4
        what = "like UTF-16 without a byte order mark" if wide else "like a binary or damaged file (it has NUL bytes)"
        raise NotText(f"{name} looks {what}; save it as text in UTF-8")
    return "utf-8"


def decode_text(content: bytes, name: str) -> str:
    """Decode a file's content; line ends stay as they are.

    Args:
        content: all of it.
        name: of the file, for messages.

    Raises:
        NotText: it is no text in UTF-8 or with a byte order mark; the message names the file and says what it is.
    """
    encoding = text_encoding(content, name)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _not_decodable(name, encoding, line, content[error.start : error.start + _SHOWN]) from error
    if "\0" in text:
        raise _with_nul(name, text.count("\n", 0, text.index("\0")) + 1)
    return text


def read_text(path: str | Path, *, max_bytes: int | None = MAX_BYTES) -> str:
    """Read a text file whatever the locale; line ends stay as they are.

    Args:
        path: the file.
        max_bytes: a larger file is refused; None: it may be of any size.

    Raises:
        OSError: the file cannot be read.
        NotText: as of :func:`decode_text`, or it is too large.
    """
    with open_regular(path) as file:
        head = file.read(_HEAD)
        text_encoding(head, str(path))  # before all of a file of gigabytes is read
        content = head + file.read(-1 if max_bytes is None else max(max_bytes + 1 - len(head), 0))
    if max_bytes is not None and len(content) > max_bytes:
        raise NotText(f"{path} has more than {max_bytes} bytes, which no file of settings or names has")
    return decode_text(content, str(path))


def text_lines(path: str | Path) -> Iterator[str]:
    """Read a text file line by line, for files too large to hold; lines keep their ends, as ``csv`` wants them.

    Raises:
        OSError: the file cannot be read.
        NotText: as of :func:`decode_text`, or a line has more than a million characters.
    """
    encoding = text_encoding(path)
    with io.TextIOWrapper(open_regular(path), newline="", encoding=encoding) as file:
        try:
            for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE), ""), 1):
                if "\0" in line:
                    raise _with_nul(str(path), number)
                if len(line) == _LONGEST_LINE:
                    raise NotText(f"{path}, line {number} has {_LONGEST_LINE} characters or more; expected text")
                yield line
        except UnicodeDecodeError as error:
            _name_the_line(path, encoding)
            raise _not_decodable(str(path), encoding) from error


def _name_the_line(path: str | Path, encoding: str) -> None:
    """Raise for the first line that is not UTF-8."""
    if not encoding.startswith("utf-8"):
        return
    with open_regular(path) as file:
        for number, line in enumerate(iter(lambda: file.readline(4 * _LONGEST_LINE), b""), 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                raise _not_decodable(str(path), encoding, number, line[error.start :]) from error


def _not_decodable(name: str, encoding: str, line: int = 0, content: bytes = b"") -> NotText:
    if not encoding.startswith("utf-8"):
        return NotText(
            f"{name} begins as {encoding.upper()}, but is cut off or damaged: write it anew, best as UTF-8 (iconv -f"
            f" {encoding} -t utf-8)"
        )
    start = content[:_SHOWN].splitlines()[0]
    readings = ", ".join(f"{_read_as(start, codec)!r} in {title}" for title, codec in _OTHERS.items())
    return NotText(
        f"{name}, line {line}: not UTF-8; {start!r} would be {readings}. Save it as UTF-8 (for instance iconv -f gbk -t"
        f" utf-8)"
    )


def _read_as(content: bytes, codec: str) -> str:
    return content.decode(codec, errors="replace").rstrip("�")


def _with_nul(name: str, line: int) -> NotText:
    return NotText(f"{name}, line {line}: a NUL byte; the file is binary or damaged, expected text in UTF-8")
