"""Text of unknown origin in a message: one line, whatever it holds."""

from __future__ import annotations

from hiera_det.utils.escape import printable

__all__ = ["one_line"]

_LONGEST = 300  # characters


def one_line(text: object) -> str:
    """Text, or an error's, cut to a line that can be printed: letters as they are, all that controls as an escape."""
    whole = str(text)
    line = printable(whole[:_LONGEST])
    return line if len(whole) <= _LONGEST else f"{line}…"
