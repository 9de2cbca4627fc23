"""What a pickle may ask for: an amount that its file's size bounds."""

from __future__ import annotations

__all__ = ["Limits"]

_VALUES = 12_000_000  # instructions; person boxes of all keyframes of AVA have half of that
_KEYS = 20_000  # of dicts and sets, but for text: anyone can write numbers that all collide in Python's tables
_COPIES = 4  # bytes for each of the file; text becomes bytes, then an array
_HEADROOM = 1 << 16  # bytes


class Limits:
    """Counts down what the pickles of one file have made.

    Without this, a file of a few kilobytes fills the memory: it may copy one list or one text a million times.

    Args:
        size: of the file, in bytes.
    """

    def __init__(self, size: int) -> None:
        self.values = _VALUES
        self._bytes = _COPIES * size + _HEADROOM
        self._keys = _KEYS

    def take_values(self, count: int) -> None:
        """Count values that one instruction makes or goes through.

        Raises:
            ValueError: there are too many.
        """
        self.values -= count
        if self.values < 0:
            raise ValueError(f"it has more than {_VALUES} values")

    def take_bytes(self, count: int) -> None:
        """Count bytes of text, arrays or tensors that are made of others.

        Raises:
            ValueError: they are more than a file of this size can hold.
        """
        self._bytes -= count
        if self._bytes < 0:
            raise ValueError("its arrays or tensors have more bytes than the file holds")

    def take_key(self) -> None:
        """Count a key of a dict, or a member of a set, that is no text.

        Raises:
            ValueError: there are too many.
        """
        self._keys -= 1
        if self._keys < 0:
            raise ValueError(f"it has more than {_KEYS} keys that are no text")
