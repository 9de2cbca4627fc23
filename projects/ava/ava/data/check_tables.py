"""Checks of a folder of annotations: what each file holds, and whether the files belong together."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from hiera_det.data.findings import Findings, some
from hiera_det.projects.ava.common_keyframes import why_none_in_common
from hiera_det.projects.ava.formats import Rows, read_exclusions, read_ground_truth, read_label_map, read_person_boxes
from hiera_det.projects.ava.pickled_boxes import PICKLES

__all__ = ["check_annotations", "check_tables", "try_to"]

T = TypeVar("T")
_SCORE = 0.8  # the default of DATASETS.MIN_BOX_SCORE
_LABELS = re.compile(r"label_?map|label_?list|action|class", re.IGNORECASE)


def check_annotations(folder: Path, findings: Findings) -> list[Rows]:
    """Read all files; returns the rows of ground truth and person boxes."""
    roles: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        roles[_role(path)].append(path)
    for path in roles["compressed"]:
        findings.add("problem", f"{path} is compressed; unpack it")
    for role in ("label map", "ground truth"):
        if not roles[role]:
            findings.add("problem", f"no {role} in {folder}")
    for role in ("person boxes", "exclusions"):
        if not roles[role]:
            findings.add("note", f"no {role} in {folder}")
    return check_tables(roles, findings)


def check_tables(roles: Mapping[str, list[Path]], findings: Findings) -> list[Rows]:
    """Read the files of each role: "label map", "ground truth", "person boxes", "exclusions"; returns the rows."""
    known: set[int] = set()
    for path in roles["label map"]:
        names = try_to(findings, read_label_map, path)
        if names is not None:
            findings.add("ok", f"{path}: {len(names)} actions, ids {min(names)} to {max(names)}")
            known |= set(names)
    truth = _read_tables(roles["ground truth"], "ground truth", read_ground_truth, known, findings)
    persons = _read_tables(roles["person boxes"], "person boxes", read_person_boxes, known, findings)
    _check_exclusions(roles["exclusions"], truth, findings)
    for path, rows in persons.items():
        below = int((rows.score < _SCORE).sum())
        if below:
            findings.add("note", f"{path}: {below} of {len(rows)} boxes score below {_SCORE:g}, DATASETS.MIN_BOX_SCORE")
        _check_common(path, rows, truth if len(truth) == len(roles["ground truth"]) else {}, findings)
    return [*truth.values(), *persons.values()]


def try_to(findings: Findings, action: Callable[..., T], *args: Any) -> T | None:
    """Do something; what is wrong with its input is a problem, what it says in the log a note."""
    try:
        with _log_as_notes(findings):
            return action(*args)
    except (OSError, ValueError) as error:
        findings.add("problem", str(error))
        return None


@contextmanager
def _log_as_notes(findings: Findings) -> Iterator[None]:
    package, handler = logging.getLogger("hiera_det"), logging.Handler(logging.INFO)
    handler.emit = lambda record: findings.add("note", record.getMessage())  # type: ignore[method-assign]
    level = package.level
    package.addHandler(handler)
    package.setLevel(logging.INFO)
    try:
        yield
    finally:
        package.removeHandler(handler)
        package.setLevel(level)


def _role(path: Path) -> str:
    name, named = path.name.lower(), f"{path.parent.name}/{path.name}"
    if path.suffix.lower() in (".gz", ".zip", ".bz2", ".xz", ".zst"):
        return "compressed"
    if ".pbtxt" in name or (path.suffix.lower() == ".txt" and _LABELS.search(name)):
        return "label map"
    if path.suffix.lower() in PICKLES:
        return "person boxes"
    if path.suffix.lower() != ".csv":
        return "other"
    if "excluded" in name:
        return "exclusions"
    if "detection" in named or "person_box" in named:
        return "person boxes"
    return "label map" if _LABELS.search(name) else "ground truth"


def _read_tables(
    paths: list[Path], role: str, reader: Callable[[Path], Rows], known: set[int], findings: Findings
) -> dict[Path, Rows]:
    tables = {}
    for path in paths:
        rows = try_to(findings, reader, path)
        if rows is not None:
            _check_rows(path, role, rows, known, findings)
            tables[path] = rows
    return tables


def _check_rows(path: Path, role: str, rows: Rows, known: set[int], findings: Findings) -> None:
    if not len(rows):
        findings.add("problem", f"{path}: no rows of {role}")
        return
    seconds = f"seconds {rows.second.min():g} to {rows.second.max():g}"
    findings.add("ok", f"{path}: {role}, {len(rows)} rows of {len(rows.videos)} videos, {seconds}")
    unknown = sorted(set(rows.action[rows.action > 0].tolist()) - known)
    if known and unknown:
        findings.add("note", f"{path}: actions that no label map has: {some(unknown)}")
    flat = int((rows.boxes[:, :2] >= rows.boxes[:, 2:]).any(axis=1).sum())
    if flat:
        findings.add("note", f"{path}: {flat} boxes have no area")
    table = np.column_stack([rows.video, rows.second, rows.boxes, rows.action])
    table = table[np.lexsort(table.T)]
    again = int((table[1:] == table[:-1]).all(axis=1).sum())
    if again:
        findings.add("note", f"{path}: {again} rows come again with the same box and action; each counts")


def _check_common(path: Path, persons: Rows, truth: dict[Path, Rows], findings: Findings) -> None:
    """See that person boxes are of keyframes that some ground truth has; AVA's test set has none."""
    reasons = {name: why_none_in_common(rows, persons, (str(name), str(path))) for name, rows in truth.items()}
    if reasons and all(reasons.values()):
        others = [name for name, rows in truth.items() if set(rows.videos) & set(persons.videos)]
        findings.add("problem" if others else "note", str(reasons[(others or list(truth))[0]]))


def _check_exclusions(paths: list[Path], truth: dict[Path, Rows], findings: Findings) -> None:
    videos = {video for rows in truth.values() for video in rows.videos}
    for path in paths:
        excluded = try_to(findings, read_exclusions, path)
        if excluded is None:
            continue
        findings.add("ok", f"{path}: {len(excluded)} keyframes excluded")
        if excluded and videos and not videos & {video for video, _ in excluded}:
            findings.add("note", f"{path}: none of its videos is in the ground truth")
