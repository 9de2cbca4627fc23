"""Keyframes as numbers: a video and a time in one int64."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from hiera_det.projects.ava.rows import Rows

__all__ = ["KeyframeNames", "contains", "unique_runs"]


class KeyframeNames:
    """Numbers the keyframes of several tables alike.

    Args:
        tables: those that :meth:`of_rows` will be asked for.
        ticks: units of time per second; times are rounded to them.

    Raises:
        ValueError: ``ticks`` is 1 and a table has a fraction of a second, or the times are too large to number.
    """

    def __init__(self, tables: Iterable[Rows], ticks: int) -> None:
        tables = list(tables)
        self.ticks = ticks
        self.index = {name: i for i, name in enumerate(dict.fromkeys(name for rows in tables for name in rows.videos))}
        for rows in tables:
            if ticks == 1 and (rows.second % 1).any():
                row = int(np.flatnonzero(rows.second % 1)[0])
                raise ValueError(
                    f"second {rows.second[row]} of video {rows.videos[rows.video[row]]}: this protocol names keyframes "
                    "by whole seconds; official2020 has fractions"
                )
        latest = max((float(rows.second.max()) for rows in tables if len(rows)), default=0.0)
        self.span = round(latest * ticks) + 1
        if self.span * len(self.index) >= 2**63:
            raise ValueError(f"{len(self.index)} videos of up to {latest} seconds are too many keyframes to number")

    def of_rows(self, rows: Rows) -> np.ndarray:
        """The keyframe of each row, (N,) int64."""
        numbers = np.array([self.index[name] for name in rows.videos], dtype=np.int64)
        keys = np.rint(rows.second * self.ticks).astype(np.int64)
        keys += (numbers * self.span)[rows.video]
        return keys

    def of_pairs(self, keyframes: Iterable[tuple[str, float]]) -> np.ndarray:
        """The distinct keyframes of those given as (video id, second) that a table could have, ascending int64."""
        ticks = ((self.index.get(video), round(second * self.ticks)) for video, second in keyframes)
        keys = [video * self.span + tick for video, tick in ticks if video is not None and 0 <= tick < self.span]
        return np.unique(np.array(keys, dtype=np.int64))


def unique_runs(keys: np.ndarray) -> np.ndarray:
    """As ``np.unique(keys)``, faster where equal keys stand together."""
    starts = np.flatnonzero(np.diff(keys, prepend=keys[:1] - 1))
    return np.unique(keys[starts])


def contains(keyframes: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Which of ``keys`` (N,) are among ``keyframes`` (K,), which ascend: (N,) bool."""
    if not len(keyframes):
        return np.zeros(len(keys), dtype=bool)
    places = np.searchsorted(keyframes, keys)
    return keyframes[np.minimum(places, len(keyframes) - 1)] == keys
