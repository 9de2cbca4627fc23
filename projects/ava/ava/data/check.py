"""Checks of a data folder: what is missing from it, and what is wrong."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from hiera_det.projects.ava.data.clips import ClipSource
from hiera_det.projects.ava.data.frames import FrameFolders
from hiera_det.projects.ava.data.videos import VideoFiles, find_videos
from hiera_det.projects.ava.formats import Rows, read_exclusions, read_ground_truth, read_label_map, read_person_boxes

__all__ = ["Report", "check_data"]

T = TypeVar("T")
_SHOWN = 5  # names in one line
_CLIP = 16, 4  # frames, and thirtieths of a second between them


@dataclass
class Report:
    """Findings in order, each with whether it is a "problem", a "note" or "ok"."""

    findings: list[tuple[str, str]] = field(default_factory=list)

    def add(self, kind: str, text: str) -> None:
        """Append a finding."""
        self.findings.append((kind, text))

    @property
    def problems(self) -> list[str]:
        """Texts of the problems."""
        return [text for kind, text in self.findings if kind == "problem"]


def check_data(root: str | Path, *, frames_begin: float, videos_begin: float, fps: float) -> Report:
    """Check a folder of AVA's layout as SlowFast describes it, which the mini-set has too.

    Below ``root``: ``annotations/`` with the label map (``.pbtxt``) and CSV files of which those with "excluded" in
    their name are exclusions, those with "detection" or "person_box" in theirs or their folder's, and ``.pkl`` files,
    person boxes, all others ground truth; ``frames/``, with ``frame_lists/*.csv`` if there are any, or ``videos/``, or
    ``videos_15min/``, or several of these. Each file is read whole; of each annotated video clips around the
    first and the last keyframe are decoded.

    Args:
        root: the folder.
        frames_begin: second that the first frame of each frame folder shows.
        videos_begin: second that each video begins with.
        fps: of the frame folders.
    """
    root = Path(root)
    report = Report()
    annotations = _check_annotations(root / "annotations", report)
    moments = _moments(annotations)
    lists = sorted((root / "frame_lists").glob("*.csv"))
    folders = [name for name in ("frames", "videos", "videos_15min") if (root / name).is_dir()]
    if not folders:
        report.add("problem", f"{root} has neither frames/ nor videos/ nor videos_15min/")
    for name in folders:
        if name == "frames":
            frames = _try(report, partial(FrameFolders, first_second=frames_begin, fps=fps), root / name, lists)
            if frames is not None:
                _check_frames_there(frames, lists, report)
                _check_source(name, frames, moments, report)
        else:
            files = _try(report, find_videos, root / name)
            if files is not None:
                _check_source(name, VideoFiles(files, first_second=videos_begin), moments, report)
    return report


def _try(report: Report, action: Callable[..., T], *args: Any) -> T | None:
    try:
        return action(*args)
    except (OSError, ValueError) as error:
        report.add("problem", str(error))
        return None


def _check_annotations(folder: Path, report: Report) -> list[Rows]:
    """Read all files; returns the rows of ground truth and person boxes."""
    roles: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".csv", ".pkl", ".pbtxt"):
            roles[_role(path)].append(path)
    for role in ("label map", "ground truth"):
        if not roles[role]:
            report.add("problem", f"no {role} in {folder}")
    for role in ("person boxes", "exclusions"):
        if not roles[role]:
            report.add("note", f"no {role} in {folder}")
    known: set[int] = set()
    for path in roles["label map"]:
        names = _try(report, read_label_map, path)
        if names is not None:
            report.add("ok", f"{path}: {len(names)} actions, ids {min(names)} to {max(names)}")
            known |= set(names)
    for path in roles["exclusions"]:
        excluded = _try(report, read_exclusions, path)
        if excluded is not None:
            report.add("ok", f"{path}: {len(excluded)} keyframes excluded")
    tables = []
    for role, reader in (("ground truth", read_ground_truth), ("person boxes", read_person_boxes)):
        for path in roles[role]:
            rows = _try(report, reader, path)
            if rows is not None:
                _check_rows(path, role, rows, known, report)
                tables.append(rows)
    return tables


def _role(path: Path) -> str:
    if path.suffix == ".pbtxt":
        return "label map"
    if "excluded" in path.name:
        return "exclusions"
    named = f"{path.parent.name}/{path.name}"
    return "person boxes" if path.suffix == ".pkl" or "detection" in named or "person_box" in named else "ground truth"


def _check_rows(path: Path, role: str, rows: Rows, known: set[int], report: Report) -> None:
    if not len(rows):
        report.add("problem", f"{path}: no rows of {role}")
        return
    seconds = f"seconds {rows.second.min():g} to {rows.second.max():g}"
    report.add("ok", f"{path}: {role}, {len(rows)} rows of {len(rows.videos)} videos, {seconds}")
    unknown = sorted(set(rows.action[rows.action > 0].tolist()) - known)
    if known and unknown:
        report.add("note", f"{path}: actions that no label map has: {_some(unknown)}")
    flat = int((rows.boxes[:, :2] >= rows.boxes[:, 2:]).any(axis=1).sum())
    if flat:
        report.add("note", f"{path}: {flat} boxes have no area")


def _moments(tables: Sequence[Rows]) -> dict[str, tuple[float, float]]:
    """First and last keyframe by video."""
    moments: dict[str, tuple[float, float]] = {}
    for rows in tables:
        for number, video in enumerate(rows.videos):
            seconds = rows.second[rows.video == number]
            low, high = moments.get(video, (float("inf"), -float("inf")))
            moments[video] = min(low, seconds.min()), max(high, seconds.max())
    return moments


def _check_frames_there(source: FrameFolders, lists: Sequence[Path], report: Report) -> None:
    """Compare the files on disk with those that the lists name or the numbers ask for."""
    report.add(
        "ok" if lists else "note", f"{len(lists)} frame lists" + ("" if lists else ": frames are counted on disk")
    )
    total = 0
    for video in tqdm(source.videos, desc="frame folders", leave=False):
        paths = _try(report, source.paths, video)
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
            report.add("problem", f"frames of {video}: {len(missing)} of {len(names)} missing: {_some(missing)}")
        total += len(names) - len(missing)
    report.add("ok", f"{source.root}: {len(source.videos)} videos, {total} frames")


def _check_source(name: str, source: ClipSource, moments: dict[str, tuple[float, float]], report: Report) -> None:
    missing = sorted(set(moments) - set(source.videos))
    if missing:
        report.add(
            "problem", f"{name}: {len(missing)} of {len(moments)} annotated videos missing: {_some(missing, 300)}"
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
        report.add("problem", text)
    if len(broken) > _SHOWN:
        report.add("problem", f"{name}: {len(broken)} videos in all that cannot be read: {_some(list(broken), 300)}")
    if there and not broken:
        report.add("ok", f"{name}: first and last keyframe of {len(there)} annotated videos decoded, in clips")


def _some(items: Sequence[Any], shown: int = _SHOWN) -> str:
    return ", ".join(map(str, items[:shown])) + (f" and {len(items) - shown} more" if len(items) > shown else "")
