"""Clips from the videos themselves, addressed by time."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from hiera_det.data.folders import fail_on_folder, files_below
from hiera_det.data.suffixes import VIDEO_SUFFIXES
from hiera_det.data.video import END_SLACK, BehindTheEndError, clip_offsets, read_nearest

__all__ = ["VideoFiles", "find_videos"]


def find_videos(folder: str | Path) -> dict[str, Path]:
    """Videos of a folder by their id, the file's path in it without its ending, such as ``a/b``.

    Raises:
        OSError: there is no such folder, or one in it cannot be read.
        ValueError: there is no video in it, or two have the same id.
    """
    found: dict[str, Path] = {}
    for path in sorted(map(Path, files_below(str(folder), fail_on_folder))):
        if path.suffix.lower() in VIDEO_SUFFIXES:
            name = path.relative_to(folder).with_suffix("").as_posix()
            if name in found:
                raise ValueError(f"{found[name]} and {path.name} are both video {name!r}; keep one of them")
            found[name] = path
    if not found:
        raise ValueError(f"no videos in {folder}; their names end in {', '.join(VIDEO_SUFFIXES)}")
    return found


class VideoFiles:
    """Video files that FFmpeg reads, of any frame rate: each time is shown by the frame nearest to it.

    Times count from the container's start, as ffmpeg's command line counts them.

    Args:
        files: paths by video id; for a folder: :func:`find_videos`.
        first_second: the second, as annotations count, that the files begin with: 0 for AVA's films, 900 for films
            that were cut to AVA's seconds 900-1801 and begin at 0.
        max_pixels: of a frame; larger ones are refused.
    """

    def __init__(
        self, files: Mapping[str, str | Path], *, first_second: float = 0.0, max_pixels: int | None = None
    ) -> None:
        self.files = {video: Path(path) for video, path in files.items()}
        self.first_second = first_second
        self.max_pixels = max_pixels

    @property
    def videos(self) -> Collection[str]:
        """Ids of the videos."""
        return self.files.keys()

    def read(self, video: str, second: float, num_frames: int, rate: int) -> np.ndarray:
        """A clip, as :meth:`hiera_det.projects.ava.data.clips.ClipSource.read` says.

        Raises:
            ValueError: the video is unknown, has no video stream, cannot be decoded, is cut off, does not show that
                second, or its timestamps are missing or go backward.
            OSError: the file cannot be read.
        """
        if video not in self.files:
            raise ValueError(f"video {video!r} is not among the {len(self.files)} video files")
        path = self.files[video]
        keyframe = second - self.first_second
        if keyframe < -END_SLACK:
            raise ValueError(f"second {second:g} lies before second {self.first_second:g}, with which {path} begins")
        try:
            return read_nearest(path, keyframe, keyframe + clip_offsets(num_frames, rate), max_pixels=self.max_pixels)
        except BehindTheEndError as error:
            raise BehindTheEndError(
                f"{error}; the annotations' second {second:g} is taken for that, as the files are said to begin with"
                f" second {self.first_second:g} (DATASETS.FIRST_SECOND)"
            ) from error
