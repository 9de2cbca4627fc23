"""Clips from folders of JPEG frames, in SlowFast's layout for AVA."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from PIL import UnidentifiedImageError

from hiera_det.data.image_files import MAX_PIXELS, open_image
from hiera_det.data.images import read_image
from hiera_det.data.video import NOMINAL_FPS
from hiera_det.projects.ava.data.clips import clip_indices
from hiera_det.projects.ava.data.frame_lists import Frames, read_frame_list, read_frame_lists
from hiera_det.projects.ava.data.frame_names import FRAME_NAMES, FrameNames
from hiera_det.utils.regular import read_regular

__all__ = ["FIRST_SECOND", "FrameFolders", "read_frame", "read_frame_list"]

FIRST_SECOND = 900.0  # of AVA's films
_THREADS = min(4, os.cpu_count() or 1)
_MOST_FRAMES = 2_000_000  # of a video: 18 hours
_SLACK = 0.5  # seconds that a keyframe may lie outside the frames: half of what AVA labels at once


class FrameFolders:
    """Frames ``<root>/<video>/<video>_%06d.jpg``, counted from 1 (or 0, where there is one), or as frame lists say.

    The first of them, or ``frame_id`` 0 of a frame list, shows ``first_second``. A video's id may have folders,
    ``a/b``. Source: SlowFast (``slowfast/datasets/ava_helper.py``), with its ``FPS`` of 30 and ``AVA_VALID_FRAMES``
    from 900.

    Args:
        root: the folder with the frames.
        frame_lists: CSV files as of :func:`read_frame_list`, read as one; none: the folders are listed instead.
        first_second: of all videos.
        fps: of the frames on disk.
        names: pattern of the files' names, as of :class:`~hiera_det.projects.ava.data.frame_names.FrameNames`; frame
            lists give the names themselves.
        max_pixels: of a frame; larger ones are refused before they are decoded.

    Raises:
        OSError: there is no such folder or list.
        ValueError: a frame list is malformed, ``names`` has no number, ``fps`` is not above 0, or no frames are there.
    """

    def __init__(
        self,
        root: str | Path,
        frame_lists: Sequence[str | Path] = (),
        *,
        first_second: float = FIRST_SECOND,
        fps: float = NOMINAL_FPS,
        names: str = FRAME_NAMES,
        max_pixels: int | None = MAX_PIXELS,
    ) -> None:
        if not fps > 0:
            raise ValueError(f"frames at {fps} per second, expected a number above 0")
        self.root = Path(root)
        self.first_second = first_second
        self.fps = fps
        self.max_pixels = max_pixels
        if not self.root.is_dir():
            raise FileNotFoundError(f"no folder of frames at {self.root}")
        self._names = FrameNames(names)
        self._frames: dict[str, Frames] = read_frame_lists(frame_lists)
        videos = list(self._frames) if frame_lists else self._names.find_videos(self.root)
        if not videos:
            raise ValueError(f"no videos in {self.root}: expected a folder of frames for each")
        self.videos: Collection[str] = dict.fromkeys(videos).keys()
        self._threads: tuple[int, ThreadPoolExecutor] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "videos": list(self.videos), "_threads": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, videos=dict.fromkeys(state["videos"]).keys())

    def paths(self, video: str) -> Sequence[str] | pa.Array:
        """Files of a video's frames below ``root``, in order.

        Raises:
            ValueError: the video is unknown or has no frames.
        """
        return self._of(video).paths

    def _of(self, video: str) -> Frames:
        if video not in self.videos:
            raise ValueError(f"video {video!r} is not among the {len(self.videos)} of {self.root}")
        if video not in self._frames:
            # Up to the highest number found, so that a missing file keeps its place and is named when it is read.
            numbers = self._names.numbers(self.root / video, video)
            start = min(1, numbers[0])
            if numbers[-1] >= _MOST_FRAMES:
                there = f"{self.root / video} has a frame of number {numbers[-1]}"
                raise ValueError(f"{there}, expected less than {_MOST_FRAMES}")
            names = [f"{video}/{self._names.of(video, number)}" for number in range(start, numbers[-1] + 1)]
            self._frames[video] = Frames(0, names)
        return self._frames[video]

    def read(self, video: str, second: float, num_frames: int, rate: int) -> np.ndarray:
        """A clip, as :meth:`hiera_det.projects.ava.data.clips.ClipSource.read` says.

        Raises:
            ValueError: the video is unknown, the second is not among its frames, or the frames differ in size.
            OSError: a frame is missing or cannot be decoded; the message names the file.
        """
        listed = self._of(video)
        paths = listed.paths
        position = (second - self.first_second) * self.fps - listed.first
        if not -_SLACK * self.fps <= position <= len(paths) - 1 + _SLACK * self.fps:
            first = self.first_second + listed.first / self.fps
            last = first + (len(paths) - 1) / self.fps
            raise ValueError(
                f"second {second:g} of video {video} is not among its {len(paths)} frames, which show seconds "
                f"{first:g} to {last:.3f} at {self.fps:g} fps"
            )
        indices = clip_indices(round(position), len(paths), num_frames, rate, self.fps)
        distinct, places = np.unique(indices, return_inverse=True)
        files = [os.path.join(self.root, str(paths[int(index)])) for index in distinct]
        # One task per thread: for small pictures a task for each costs more than it saves.
        tasks = [
            self._pool().submit(_read_frames, files[start::_THREADS], self.max_pixels) for start in range(1, _THREADS)
        ]
        frames: list[np.ndarray] = [np.empty(0)] * len(files)
        frames[::_THREADS] = _read_frames(files[::_THREADS], self.max_pixels)
        for start, task in enumerate(tasks, 1):
            frames[start::_THREADS] = task.result()
        for file, frame in zip(files, frames, strict=True):
            if frame.shape != frames[0].shape:
                raise ValueError(
                    f"frames differ in size: {file} has {frame.shape[1]}x{frame.shape[0]} pixels, {files[0]} "
                    f"{frames[0].shape[1]}x{frames[0].shape[0]}"
                )
        return np.stack([frames[place] for place in places])  # (T, H, W, 3)

    def _pool(self) -> ThreadPoolExecutor:
        # Threads do not survive a fork: each process starts its own.
        if self._threads is None or self._threads[0] != os.getpid():
            self._threads = (os.getpid(), ThreadPoolExecutor(_THREADS, thread_name_prefix="frames"))
        return self._threads[1]


def _read_frames(paths: Sequence[str], max_pixels: int | None) -> list[np.ndarray]:
    return [read_frame(path, max_pixels=max_pixels) for path in paths]


def read_frame(path: str | Path, *, max_pixels: int | None = MAX_PIXELS) -> np.ndarray:
    """Read an image: (H, W, 3) uint8 RGB.

    Raises:
        OSError: the file is missing, no regular file, cut off, no image of a format that is read, or of more than
            ``max_pixels``.
    """
    try:
        content = read_regular(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"frame {path} is missing") from None
    except OSError as error:
        raise OSError(f"frame {path} cannot be read: {error.strerror or error}") from error
    if content[:2] == b"\xff\xd8" and b"\xff\xd9" not in content:  # cv2 would fill up with grey
        raise OSError(f"frame {path} is cut off after {len(content)} bytes")
    reason = ""
    try:
        with open_image(content, max_pixels=max_pixels) as header:  # OpenCV alone would take any size
            is_jpeg = header.format == "JPEG"
        if is_jpeg:
            frame = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
        else:  # which may have more than 8 bits
            frame = np.asarray(read_image(content, name=str(path), max_pixels=max_pixels))
    except UnidentifiedImageError:
        frame = None
    except (OSError, ValueError, SyntaxError, cv2.error) as error:
        frame, reason = None, f": {error}"
    if frame is None:
        raise OSError(f"frame {path} cannot be decoded ({len(content)} bytes){reason}")
    return frame
