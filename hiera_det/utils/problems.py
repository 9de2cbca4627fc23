"""What is wrong with a file, all at once: the first ten places, then a count."""

from __future__ import annotations

__all__ = ["Problems"]

SHOWN = 10


class Problems:
    """Collects what is wrong, so that one run names all of it.

    Args:
        source: the file, for the message.
    """

    def __init__(self, source: object) -> None:
        self.source = source
        self.count = 0
        self._shown: list[str] = []

    def add(self, where: str, text: str) -> None:
        """Note a problem and its place, such as "line 5"."""
        self.count += 1
        if self.count <= SHOWN:
            self._shown.append(f"{where}: {text}")

    def raise_any(self) -> None:
        """Raise what was found, if anything.

        Raises:
            ValueError: there is a problem; the message names the file and the places.
        """
        if self.count:
            more = [f"and {self.count - SHOWN} more"] if self.count > SHOWN else []
            raise ValueError("\n  ".join([f"{self.source}, {self._shown[0]}", *self._shown[1:], *more]))
