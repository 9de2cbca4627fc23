"""Checks of a data folder: what is missing from it, and what is wrong."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from fvcore.common.config import CfgNode
from tqdm import tqdm

from hiera_det.data.findings import Findings, some
from hiera_det.projects.ava.data.check_tables import check_annotations, check_tables, try_to
from hiera_det.projects.ava.data.clips import ClipSource
from hiera_det.projects.ava.data.frame_lists import read_frame_list
from hiera_det.projects.ava.data.frame_names import FRAME_NAMES
from hiera_det.projects.ava.data.frames import FrameFolders
from hiera_det.projects.ava.data.sources import open_source
from hiera_det.projects.ava.data.videos import VideoFiles, find_videos
from hiera_det.projects.ava.formats import Rows, read_ground_truth

__all__ = ["check_data", "check_run"]

_SHOWN = 5  # names in one line
_CLIP = 16, 4  # frames, and thirtieths of a second between them


def check_data(
    root: str | Path, *, frames_begin: float, videos_begin: float, fps: float, frame_names: str = FRAME_NAMES
) -> Findings:
    """Check a folder of AVA's layout as SlowFast describes it, which the mini-set has too.

    Below ``root``: ``annotations/`` with the label map (``.pbtxt``, or a ``.txt`` or CSV with "label_map", "action" or
    "class" in its name) and CSV files of which those with "excluded" in their name are exclusions, those with
    "detection" or "person_box" in theirs or their folder's, and ``.pkl`` files, person boxes, all others ground truth;
    ``frames/``, with ``frame_lists/*.csv`` if there are any, or ``videos/``, or ``videos_15min/``, or several of
    these. Each file is read whole; of each annotated video clips around the first and the last keyframe are decoded.

    Args:
        root: the folder.
        frames_begin: second that the first frame of each frame folder shows.
        videos_begin: second that each video begins with.
        fps: of the frame folders.
        frame_names: pattern of their files' names, where there are no frame lists.
    """
    root = Path(root)
    findings = Findings()
    annotations = check_annotations(root / "annotations", findings)
    moments = _moments(annotations)
    lists = sorted((root / "frame_lists").glob("*.csv"))
    folders = [name for name in ("frames", "videos", "videos_15min") if (root / name).is_dir()]
    if not folders:
        findings.add("problem", f"{root} has neither frames/ nor videos/ nor videos_15min/")
    for name in folders:
        if name == "frames":
            if not _check_lists(lists, findings):
                continue
            open_frames = partial(FrameFolders, first_second=frames_begin, fps=fps, names=frame_names)
            frames = try_to(findings, open_frames, root / name, lists)
            if frames is not None:
                _check_frames_there(frames, lists, findings)
                _check_source(name, frames, moments, findings)
        else:
            files = try_to(findings, find_videos, root / name)
            if files is not None:
                _check_source(name, VideoFiles(files, first_second=videos_begin), moments, findings)
    return findings


def check_run(cfg: CfgNode, findings: Findings) -> None:
    """Check the files that a run's config names: each table, and of each annotated video clips at both ends.

    Args:
        cfg: of :func:`~hiera_det.projects.ava.config.defaults`.
        findings: gets what is found.
    """
    node = cfg.DATASETS
    names = {
        "label map": [node.LABEL_MAP],
        "ground truth": [node.TRAIN, node.TEST],
        "person boxes": [node.TRAIN_BOXES, node.TEST_BOXES],
        "exclusions": [node.EXCLUSIONS],
    }
    root = Path(node.ROOT)
    roles = {role: [root / name for name in dict.fromkeys(its) if name] for role, its in names.items()}
    check_tables(roles, findings)
    for split in ("TRAIN", "TEST"):
        rows = try_to(findings, read_ground_truth, root / node[split])
        source = try_to(findings, open_source, cfg, split)
        if rows is not None and source is not None:
            _check_source(f"{node.SOURCE} of {split}", source, _moments([rows]), findings)


def _moments(tables: Sequence[Rows]) -> dict[str, tuple[float, float]]:
    """First and last keyframe by video."""
    moments: dict[str, tuple[float, float]] = {}
    for rows in tables:
        for number, video in enumerate(rows.videos):
            seconds = rows.second[rows.video == number]
            low, high = moments.get(video, (float("inf"), -float("inf")))
            moments[video] = min(low, seconds.min()), max(high, seconds.max())
    return moments


def _check_lists(lists: Sequence[Path], findings: Findings) -> bool:
    """Read each frame list by itself; whether all can be read."""
    seen: dict[str, Path] = {}
    sound = True
    for path in lists:
        listed = try_to(findings, read_frame_list, path)
        if listed is None:
            sound = False
            continue
        late = [f"{video} from {frames.first}" for video, frames in listed.items() if frames.first]
        if late:
            findings.add("note", f"{path}: frame_id 0 is not there of {len(late)} videos: {some(late)}")
        both = [video for video in listed if video in seen]
        if both:
            findings.add("note", f"{path}: {len(both)} videos are in {seen[both[0]].name} too: {some(both)}")
        seen |= dict.fromkeys(listed, path)
    return sound


def _check_frames_there(source: FrameFolders, lists: Sequence[Path], findings: Findings) -> None:
    """Compare the files on disk with those that the lists name or the numbers ask for."""
    findings.add(
        "ok" if lists else "note", f"{len(lists)} frame lists" + ("" if lists else ": frames are counted on disk")
    )
    total = 0
    for video in tqdm(source.videos, desc="frame folders", leave=False):
        paths = try_to(findings, source.paths, video)
        if paths is None:
            continue
        names = [str(path) for path in paths]
        folders = {os.path.dirname(name) for name in names}
        there = {
            os.path.join(folder, entry.name)
            for folder in folders
            if (source.root / folder).is_dir()
            for entry in os.scandir(source.root / folder)
        }
        missing = [name for name in names if name not in there]
        if missing:
            findings.add("problem", f"frames of {video}: {len(missing)} of {len(names)} missing: {some(missing)}")
        total += len(names) - len(missing)
    findings.add("ok", f"{source.root}: {len(source.videos)} videos, {total} frames")


def _check_source(name: str, source: ClipSource, moments: dict[str, tuple[float, float]], findings: Findings) -> None:
    missing = sorted(set(moments) - set(source.videos))
    if missing:
        findings.add(
            "problem", f"{name}: {len(missing)} of {len(moments)} annotated videos missing: {some(missing, 300)}"
        )
    there = sorted(set(moments) & set(source.videos))
    broken = {}
    for video in tqdm(there, desc=name, leave=False):
        try:
            for second in moments[video]:
                source.read(video, second, *_CLIP)
        except (OSError, ValueError) as error:
            broken[video] = str(error)
    for text in list(broken.values())[:_SHOWN]:
        findings.add("problem", text)
    if len(broken) > _SHOWN:
        findings.add("problem", f"{name}: {len(broken)} videos in all that cannot be read: {some(list(broken), 300)}")
    if there and not broken:
        findings.add("ok", f"{name}: first and last keyframe of {len(there)} annotated videos decoded, in clips")
