"""Why two tables have no keyframe in common: other names of videos, or seconds counted from elsewhere."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath

import numpy as np

from hiera_det.projects.ava.rows import Rows

__all__ = ["why_none_in_common"]

_VIDEOS = 50  # looked at for a shift of the seconds
_SECONDS = 500  # of each
_SHOWN = 3


def why_none_in_common(first: Rows, second: Rows, names: tuple[str, str]) -> str | None:
    """Say why no keyframe is in both tables; None where one is, or where a table is empty.

    Args:
        first: rows, with the keyframes that are empty.
        second: likewise.
        names: of the two, for the message.

    Returns:
        What the videos or the seconds of both are, and what would make them meet.
    """
    ours, theirs = _seconds(first), _seconds(second)
    if not ours or not theirs:
        return None
    common = [video for video in ours if video in theirs]
    if not common:
        return _other_videos(list(ours), list(theirs), names)
    if any(ours[video] & theirs[video] for video in common):
        return None
    text = (
        f"{names[0]} and {names[1]} have no keyframe in common: of the {len(common)} videos in both, {names[0]} has"
        f" {_range(ours, common)}, {names[1]} {_range(theirs, common)}"
    )
    shift, meeting = _best_shift(ours, theirs, common[:_VIDEOS])
    total = sum(len(theirs[video]) for video in common[:_VIDEOS])
    if meeting * 2 < total and meeting * 2 < sum(len(ours[video]) for video in common[:_VIDEOS]):
        return text
    return f"{text}; with {shift:+g} s on the seconds of {names[1]}, {meeting} of their {total} keyframes would meet"


def _seconds(rows: Rows) -> dict[str, set[float]]:
    """Seconds of each video."""
    found: dict[str, set[float]] = defaultdict(set)
    pairs = np.unique(np.stack([rows.video, np.round(rows.second, 3)]), axis=1) if len(rows) else np.zeros((2, 0))
    for video, second in pairs.T.tolist():
        found[rows.videos[int(video)]].add(second)
    for name, second in rows.empty:
        found[name].add(round(second, 3))
    return found


def _range(seconds: dict[str, set[float]], videos: Iterable[str]) -> str:
    all_of_them = set().union(*(seconds[video] for video in videos))
    return f"seconds {min(all_of_them):g} to {max(all_of_them):g}"


def _best_shift(ours: dict[str, set[float]], theirs: dict[str, set[float]], videos: list[str]) -> tuple[float, int]:
    """What to add to their seconds so that most of them are ours, and how many are then."""
    votes: Counter[float] = Counter()
    for video in videos:
        here, there = (np.array(sorted(seconds[video])[:_SECONDS]) for seconds in (ours, theirs))
        votes.update(np.round(here[:, None] - there[None, :], 3).ravel().tolist())
    most = max(votes.values())
    shift = min((shift for shift, count in votes.items() if count == most), key=abs)
    moved = sum(len({round(second + shift, 3) for second in theirs[video]} & ours[video]) for video in videos)
    return shift, moved


def _other_videos(ours: list[str], theirs: list[str], names: tuple[str, str]) -> str:
    text = (
        f"{names[0]} and {names[1]} have no video in common: {_some(ours)} in {names[0]}, {_some(theirs)} in {names[1]}"
    )
    for change, what in (
        (lambda name: PurePosixPath(name).stem, "without folders and endings"),
        (lambda name: PurePosixPath(name).stem.lower(), "without folders, endings and capitals"),
    ):
        same = {change(name) for name in ours} & {change(name) for name in theirs}
        if same:
            return f"{text}; {what} {len(same)} would be the same"
    return text


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
