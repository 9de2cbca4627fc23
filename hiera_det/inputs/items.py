"""What is read without labels: one image or one clip each, and the plan that cuts all of them into parts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

__all__ = ["Item", "Plan"]


@dataclass(frozen=True, slots=True)
class Item:
    """An image, or a clip of a video.

    Args:
        id: unique in a store.
        path: of the file; of the tar file for a member of one.
        member: name inside the tar file.
        offset: of the member's data in the tar file, in bytes; -1: it is not in one.
        length: of the member's data, in bytes.
        time: of a clip's middle frame, in seconds from the video's beginning; None: an image.
        boxes: xyxy, in pixels of the image as decoded, which is after its EXIF rotation.
    """

    id: str
    path: str
    member: str = ""
    offset: int = -1
    length: int = -1
    time: float | None = None
    boxes: tuple[tuple[float, float, float, float], ...] = ()

    @property
    def source(self) -> str:
        """The file, with the member or the time in it, for messages."""
        if self.member:
            return f"{self.path}:{self.member}"
        return self.path if self.time is None else f"{self.path} at {self.time:.3f} s"


class Plan:
    """All items in their order, cut into parts of consecutive items; one part becomes one shard of the store.

    A part depends on the items and ``items_per_part`` alone, so a shard's content does not depend on who computes it.

    Args:
        items: all of them, in order.
        items_per_part: of every part but the last, which may be shorter.

    Raises:
        ValueError: ``items_per_part`` is below 1.
    """

    def __init__(self, items: Sequence[Item], items_per_part: int) -> None:
        if items_per_part < 1:
            raise ValueError(f"{items_per_part} items per part, expected at least 1")
        self.items = items
        self.items_per_part = items_per_part

    def __len__(self) -> int:
        return -(-len(self.items) // self.items_per_part)

    def __getitem__(self, index: int) -> list[Item]:
        if not 0 <= index < len(self):
            raise IndexError(f"part {index} of a plan of {len(self)}")
        start = index * self.items_per_part
        return list(self.items[start : start + self.items_per_part])

    def __iter__(self) -> Iterator[list[Item]]:
        return (self[index] for index in range(len(self)))

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hex, over the items' ids, paths, members, times and boxes in order."""
        total = hashlib.sha256()
        for item in self.items:
            row = [item.id, item.path, item.member, item.time, item.boxes]
            total.update(json.dumps(row).encode() + b"\n")
        return total.hexdigest()
