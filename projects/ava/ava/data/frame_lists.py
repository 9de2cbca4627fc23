"""SlowFast's lists of frames: which file shows which frame of a video."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

from hiera_det.utils.problems import Problems
from hiera_det.utils.text import text_encoding, text_lines

__all__ = ["Frames", "read_frame_list", "read_frame_lists"]

_COLUMNS = ["original_vido_id", "video_id", "frame_id", "path", "labels"]  # the spelling is SlowFast's


@dataclass(frozen=True)
class Frames:
    """The frames of a video, one after the other.

    Attributes:
        first: number of the first of them; number 0 shows the second that the video begins with.
        paths: their files.
    """

    first: int
    paths: Sequence[str] | pa.Array


def read_frame_lists(paths: Iterable[str | Path]) -> dict[str, Frames]:
    """Read several lists as one: of a video that is in more than one, each has some of the frames.

    Raises:
        OSError: there is no such file.
        ValueError: as of :func:`read_frame_list`, or two lists give a frame two files, or leave frames out between
            theirs; the videos and frames are named.
    """
    merged: dict[str, Frames] = {}
    for path in paths:
        problems = Problems(path)
        for video, frames in read_frame_list(path).items():
            try:
                merged[video] = _joined(merged[video], frames) if video in merged else frames
            except ValueError as error:
                problems.add(f"video {video}, which is in another list too", str(error))
        problems.raise_any()
    return merged


def read_frame_list(path: str | Path) -> dict[str, Frames]:
    """Read SlowFast's list: a header, then ``original_vido_id video_id frame_id path labels``, space-separated.

    Returns:
        Frames by video id (the first column), in the order of their ``frame_id``, whatever that of the rows.

    Raises:
        OSError: there is no such file.
        ValueError: the file is not of this form, or a ``frame_id`` is negative, comes twice, or is left out between two
            others; videos and ids are named.
    """
    try:
        table = csv.read_csv(
            path,
            read_options=csv.ReadOptions(encoding=text_encoding(path).removesuffix("-sig")),
            parse_options=csv.ParseOptions(delimiter=" "),
            convert_options=csv.ConvertOptions(
                include_columns=[_COLUMNS[0], _COLUMNS[2], _COLUMNS[3]],
                column_types={
                    _COLUMNS[0]: pa.dictionary(pa.int32(), pa.string()),
                    _COLUMNS[2]: pa.int64(),
                    _COLUMNS[3]: pa.large_string(),
                },
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError, UnicodeDecodeError) as error:
        for _ in text_lines(path):  # which names what is no text
            pass
        raise ValueError(f"frame list {path}: {error}; expected the columns {' '.join(_COLUMNS)}") from error
    if not len(table) or any(column.null_count for column in table.columns):
        raise ValueError(f"frame list {path} has {'an empty field' if len(table) else 'no rows'}")
    videos = table.column(0).unify_dictionaries().combine_chunks()
    names, codes = videos.dictionary.to_pylist(), videos.indices.to_numpy()
    numbers, files = table.column(1).to_numpy(), table.column(2).combine_chunks()
    step = np.diff(codes)
    if np.any((step < 0) | ((step == 0) & (np.diff(numbers) < 0))):  # not one video after the other, frame by frame
        order = np.lexsort((numbers, codes))
        codes, numbers, files = codes[order], numbers[order], files.take(pa.array(order))
    _check_numbers(path, names, codes, numbers)
    starts = np.searchsorted(codes, np.arange(len(names) + 1))
    return {name: Frames(int(numbers[a]), files[a:b]) for name, a, b in zip(names, starts, starts[1:], strict=False)}


def _check_numbers(path: str | Path, names: list[str], codes: np.ndarray, numbers: np.ndarray) -> None:
    """See that the ascending frame ids of each video are without gaps, and from 0 on."""
    problems = Problems(f"frame list {path}")
    step = np.where(np.diff(codes) == 0, np.diff(numbers), 1)
    for row in np.flatnonzero(numbers < 0).tolist():
        problems.add(f"video {names[codes[row]]}", f"frame_id {numbers[row]}, expected a number from 0")
    for row in np.flatnonzero(step != 1).tolist():
        problems.add(f"video {names[codes[row]]}", _between(int(numbers[row]), int(numbers[row + 1])))
    problems.raise_any()


def _between(number: int, following: int) -> str:
    if number == following:
        return f"frame_id {number} comes twice"
    if following == number + 2:
        return f"frame_id {number + 1} is missing"
    return f"frame_ids {number + 1} to {following - 1} are missing"


def _joined(one: Frames, other: Frames) -> Frames:
    """Frames of a video of two lists.

    Raises:
        ValueError: they give a frame two files, or there are others between theirs.
    """
    files: dict[int, str] = {}
    for frames in (one, other):
        for number, path in enumerate(map(str, frames.paths), frames.first):
            if files.setdefault(number, path) != path:
                raise ValueError(f"frame_id {number} is {files[number]} and {path}")
    numbers = sorted(files)
    for number, following in pairwise(numbers):
        if following != number + 1:
            raise ValueError(_between(number, following))
    return Frames(numbers[0], [files[number] for number in numbers])
