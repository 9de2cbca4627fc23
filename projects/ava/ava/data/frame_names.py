"""How the files of frames are named: a pattern with a number, such as ``img_{:05d}.jpg``."""

from __future__ import annotations

import os
import re
import string
from collections.abc import Iterator
from pathlib import Path

from hiera_det.data.folders import fail_on_folder, walk

__all__ = ["FRAME_NAMES", "FrameNames"]

FRAME_NAMES = "{video}_{:06d}.jpg"  # SlowFast's


class FrameNames:
    """Names of a video's frames by number.

    Args:
        pattern: of Python's format: ``{:05d}`` stands for the number, ``{video}`` for the video's id, of an id with
            folders for its last part.

    Raises:
        ValueError: it has no number, or something else that changes.
    """

    def __init__(self, pattern: str = FRAME_NAMES) -> None:
        self.pattern = pattern
        try:
            self._parts = list(string.Formatter().parse(pattern))
        except ValueError:
            self._parts = []
        fields = [name for _, name, _, _ in self._parts if name is not None]
        specs = [spec for _, name, spec, _ in self._parts if name == ""]
        good = fields.count("") == 1 and set(fields) <= {"", "video"} and "/" not in pattern
        if not good or not re.fullmatch(r"0?\d{0,2}d?", specs[0] or ""):
            raise ValueError(
                f"frames named {pattern!r}: expected a file's name with one number, such as img_{{:05d}}.jpg or"
                f" {FRAME_NAMES}"
            )

    def of(self, video: str, number: int) -> str:
        """The name of a frame."""
        return self.pattern.format(number, video=_last(video))

    def numbers(self, folder: str | Path, video: str) -> list[int]:
        """Numbers of the frames in a video's folder, ascending.

        Raises:
            OSError: the folder cannot be read.
            ValueError: no file is named so; the message gives one that is there.
        """
        pattern = re.compile("".join(self._regex(video)))
        other = ""
        numbers = []
        with os.scandir(folder) as entries:
            for entry in entries:
                match = pattern.fullmatch(entry.name)
                if match and self.of(video, int(match[1])) == entry.name:
                    numbers.append(int(match[1]))
                else:
                    other = other or entry.name
        if not numbers:
            there = f"; {other} is there: DATASETS.FRAME_NAMES says how they are named" if other else ""
            raise ValueError(f"no frames {self.of(video, 1)} … in {folder}{there}")
        return sorted(numbers)

    def find_videos(self, root: Path) -> list[str]:
        """Ids of the videos in a folder, each the path of a folder with frames or with nothing in it, sorted.

        Raises:
            OSError: a folder cannot be read.
        """
        ending = os.path.splitext(self.pattern)[1].lower()
        videos = []
        for folder, files, folders in walk(str(root), fail_on_folder):
            if folder == str(root):
                continue
            if any(name.lower().endswith(ending) and os.path.isfile(os.path.join(folder, name)) for name in files):
                folders.clear()
            if not folders:
                videos.append(Path(folder).relative_to(root).as_posix())
        return sorted(videos)

    def _regex(self, video: str) -> Iterator[str]:
        for text, name, _, _ in self._parts:
            yield re.escape(text)
            if name is not None:
                yield re.escape(_last(video)) if name else r"(\d+)"


def _last(video: str) -> str:
    return video.rpartition("/")[2]
