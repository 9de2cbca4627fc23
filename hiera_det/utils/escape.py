"""Foreign text, such as names of files, in what people read: it shows as it is, and does nothing."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["cell", "from_cell", "markdown", "printable"]

_FORMULA = re.compile(r"'*[=+\-@]")  # at which a spreadsheet begins to compute
_MARKED = re.compile(r"'+[=+\-@]")
_ESCAPE = re.compile(r"\\(\\|[tnr]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?(e[+-]?\d+)?", re.ASCII)
_SILENT = ("Cc", "Cs", "Zl", "Zp")  # Unicode's categories: control characters, halves of characters, ends of lines
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # they turn text round


def printable(text: str, keep: str = "") -> str:
    """Text of which what moves a cursor, ends a line, turns text round or cannot be encoded is shown as an escape.

    Args:
        text: any.
        keep: characters that stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        one.encode("unicode_escape").decode()
        if one not in keep and (one in _BIDI or unicodedata.category(one) in _SILENT)
        else one
        for one in text
    )


def markdown(text: str) -> str:
    """Text within a page of Markdown: no link, no emphasis, no HTML; it stays on its line."""
    return re.sub(r"([\\`*_\[\]<>|&#])", r"\\\1", printable(text))


def cell(value: object) -> object:
    """What stands for a value in a CSV that people open in a spreadsheet; of usual text and of numbers nothing changes.

    Control characters, halves of characters and what turns text round are shown as escapes, and with them backslashes.
    An apostrophe stands before what begins with one of ``= + - @``, as OWASP advises: no formula.
    """
    if not isinstance(value, str):
        return value
    text = _escaped(value) if _ESCAPE.search(value) or printable(value) != value else value
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def from_cell(text: str) -> str:
    """The text that :func:`cell` stands for."""
    text = text[1:] if _MARKED.match(text) else text
    return _ESCAPE.sub(lambda found: found[0].encode().decode("unicode_escape"), text)


def _escaped(text: str) -> str:
    return printable(text.replace("\\", r"\\"))
