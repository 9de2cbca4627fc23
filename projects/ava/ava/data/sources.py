"""Where a run's clips come from, as its config says."""

from __future__ import annotations

from pathlib import Path

from fvcore.common.config import CfgNode

from hiera_det.projects.ava.data.clips import ClipSource
from hiera_det.projects.ava.data.frames import FrameFolders
from hiera_det.projects.ava.data.videos import VideoFiles, find_videos

__all__ = ["open_source"]


def open_source(cfg: CfgNode) -> ClipSource:
    """Open the frames or videos that ``DATASETS.SOURCE`` names.

    Raises:
        ValueError: it says something else.
        OSError: a folder or a list is missing.
    """
    node = cfg.DATASETS
    root = Path(node.ROOT)
    if node.SOURCE == "frames":
        lists = [root / path for path in node.FRAME_LISTS]
        limit = cfg.INPUT.MAX_PIXELS
        return FrameFolders(root / node.FRAMES, lists, first_second=node.FIRST_SECOND, fps=node.FPS, max_pixels=limit)
    if node.SOURCE == "videos":
        return VideoFiles(
            find_videos(root / node.VIDEOS), first_second=node.FIRST_SECOND, max_pixels=cfg.INPUT.MAX_PIXELS
        )
    raise ValueError(f"DATASETS.SOURCE is {node.SOURCE!r}; expected 'frames' or 'videos'")
