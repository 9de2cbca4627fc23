"""From videos to the clips that are taken of them."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hiera_det.data.video import promised_duration, video_duration
from hiera_det.inputs.items import Item
from hiera_det.inputs.tables import read_times

__all__ = ["clips_at", "clips_every"]

logger = logging.getLogger(__name__)


def clips_every(videos: Sequence[Item], seconds: float) -> list[Item]:
    """Clips around ``seconds / 2``, ``3 * seconds / 2``, … below each video's end; of a shorter video its middle.

    A video that cannot be opened gives one clip, so that it is among the failures when that is read; of one that is cut
    off, so are the clips that are missing.

    Args:
        videos: an item for each, without a time.
        seconds: from clip to clip.

    Returns:
        Items whose ids are ``<video's id>@<seconds with 3 decimals>``.

    Raises:
        ValueError: ``seconds`` is below a millisecond.
    """
    if not 0.001 <= seconds < math.inf:
        raise ValueError(f"a clip every {seconds} seconds, expected a number of at least 0.001")
    logger.info("looking up the length of %d videos", len(videos))
    return [_clip(video, time) for video in videos for time in _times(video, seconds)]


def clips_at(videos: Sequence[Item], table: str | Path) -> list[Item]:
    """Clips around the times of a CSV ``video_id,seconds``, ascending within each video.

    Raises:
        OSError: the file cannot be read.
        ValueError: a row is malformed, or its video is not among those given.
    """
    times = read_times(table)
    unknown = sorted(times.keys() - {video.id for video in videos})
    if unknown:
        raise ValueError(
            f"{table}: {len(unknown)} video ids are not among the {len(videos)} videos, such as {unknown[0]!r}; "
            f"an id is there like {videos[0].id!r}"
        )
    left_out = sum(video.id not in times for video in videos)
    if left_out:
        logger.info("%d of %d videos have no time in %s and give no clip", left_out, len(videos), table)
    return [_clip(video, time) for video in videos for time in times.get(video.id, ())]


def _clip(video: Item, time: float) -> Item:
    return replace(video, id=f"{video.id}@{time:.3f}", time=round(time, 3))


def _times(video: Item, seconds: float) -> list[float]:
    path = Path(video.path)
    try:
        end = promised_duration(path, video_duration(path))
    except (OSError, ValueError) as error:
        logger.warning("%s", error)
        end = 0.0
    count = math.ceil(end / seconds + 0.5) - 1  # those below the end
    return [(place + 0.5) * seconds for place in range(count)] if count else [end / 2]
