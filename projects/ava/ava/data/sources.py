"""Where a run's clips come from, as its config says."""

from __future__ import annotations

from pathlib import Path

from fvcore.common.config import CfgNode

from hiera_det.projects.ava.data.clips import ClipSource
from hiera_det.projects.ava.data.frames import FrameFolders
from hiera_det.projects.ava.data.videos import VideoFiles, find_videos

__all__ = ["open_source"]


def open_source(cfg: CfgNode, split: str) -> ClipSource:
    """Open the frames or videos that ``DATASETS.SOURCE`` names.

    Args:
        cfg: the config.
        split: "TRAIN" or "TEST", whose frame list is read.

    Raises:
        ValueError: it says something else, there are more than two frame lists, or one is malformed.
        OSError: a folder or a list is missing.
    """
    node = cfg.DATASETS
    root = Path(node.ROOT)
    if node.SOURCE == "frames":
        lists = [root / path for path in _frame_lists(node, split)]
        return FrameFolders(
            root / node.FRAMES,
            lists,
            first_second=node.FIRST_SECOND,
            fps=node.FPS,
            names=node.FRAME_NAMES,
            max_pixels=cfg.INPUT.MAX_PIXELS,
        )
    if node.SOURCE == "videos":
        return VideoFiles(
            find_videos(root / node.VIDEOS), first_second=node.FIRST_SECOND, max_pixels=cfg.INPUT.MAX_PIXELS
        )
    raise ValueError(f"DATASETS.SOURCE is {node.SOURCE!r}; expected 'frames' or 'videos'")


def _frame_lists(node: CfgNode, split: str) -> list[str]:
    """The list of a split, if there is one."""
    lists = list(node.FRAME_LISTS)
    if len(lists) > 2:
        raise ValueError(
            f"DATASETS.FRAME_LISTS has {len(lists)} entries, expected the list of TRAIN and that of TEST, or one for"
            " both"
        )
    return lists if len(lists) < 2 else [lists[("TRAIN", "TEST").index(split)]]
