"""AVA's files: ground truth, detections, person boxes, exclusions; label maps stand in ``label_map.py``.

Coordinates are fractions of the frame in [0, 1], times are seconds, action ids start at 1. What is beyond [0, 1] by no
more than ``ava.rows.TOLERANCE`` is clipped and counted in the log; anything further is an error. Text is UTF-8, or what
a byte order mark says.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hiera_det.projects.ava.label_map import read_label_map
from hiera_det.projects.ava.pickled_boxes import PICKLES, read_pickled_boxes
from hiera_det.projects.ava.rows import Rows, keyframe_problem
from hiera_det.projects.ava.table_lines import Layout, read_fields
from hiera_det.projects.ava.tables import read_rows
from hiera_det.utils.escape import printable
from hiera_det.utils.files import atomic_write
from hiera_det.utils.problems import Problems

__all__ = [
    "Rows",
    "read_detections",
    "read_exclusions",
    "read_ground_truth",
    "read_label_map",
    "read_person_boxes",
    "write_results",
]

_CHUNK = 100_000  # rows formatted at once

_GROUND_TRUTH = Layout((7, 8), scored=False, action_needed=True, corners_ordered=True)
_DETECTIONS = Layout((8,), scored=True, action_needed=True, corners_ordered=False)
_PERSON_BOXES = Layout((8,), scored=True, action_needed=False, corners_ordered=False)


def read_ground_truth(path: str | Path) -> Rows:
    """Read ``video,second,x1,y1,x2,y2,action[,person]``; rows of ``video,second`` name keyframes without boxes.

    Raises:
        OSError: the file cannot be read.
        ValueError: a row is malformed, a box is outside [0, 1] or has its corners swapped; the lines are named.
    """
    return read_rows(path, _GROUND_TRUTH)


def read_detections(path: str | Path) -> Rows:
    """Read ``video,second,x1,y1,x2,y2,action,score``; rows of ``video,second`` name keyframes without detections.

    An empty file has no rows. Boxes without area are kept: the evaluation drops them.

    Raises:
        OSError: the file cannot be read.
        ValueError: a row is malformed, a box is outside [0, 1] or a score is not finite; the lines are named.
    """
    return read_rows(path, _DETECTIONS)


def read_person_boxes(path: str | Path) -> Rows:
    """Read person boxes with their detector's scores: SlowFast's CSV or mmaction2's pickle, by the file's ending.

    The CSV has the columns of :func:`read_detections`, the action mostly empty (or -1). The ``.pkl`` holds
    ``{"video,0902": (N, 5) array of x1, y1, x2, y2, score}``; keyframes with N = 0 go to ``Rows.empty``.

    Raises:
        OSError: the file cannot be read.
        ValueError: as for :func:`read_detections`; for a pickle the keys are named.
    """
    return read_pickled_boxes(path) if Path(path).suffix.lower() in PICKLES else read_rows(path, _PERSON_BOXES)


def read_exclusions(path: str | Path) -> set[tuple[str, float]]:
    """Read keyframes that an evaluation leaves out, ``video,second`` per line.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no text, or rows are malformed; the lines are named.
    """
    excluded, problems = set(), Problems(path)
    for number, fields in read_fields(path):
        if any(fields[2:]) or len(fields) < 2:
            problem: str | None = f"{len(fields)} columns, expected video,second"
        else:
            problem = keyframe_problem(fields)
        if problem:
            problems.add(f"line {number}", problem)
        else:
            excluded.add((fields[0], float(fields[1])))
    problems.raise_any()
    return excluded


def write_results(path: str | Path, rows: Rows) -> None:
    """Write detections as AVA's results CSV, ``video,second,x1,y1,x2,y2,action,score``; whole or not there.

    Whole seconds have four digits, as AVA's. Coordinates and scores have the nine significant digits that keep a
    float32: fewer (SlowFast writes 3 and 4 decimals) would tie scores, and the file would not give the mAP of the
    arrays. A name with a comma or a quote is quoted, as CSV has it; what would end its line is shown as an escape.
    """
    names = [_field(video) for video in rows.videos]
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        for start in range(0, len(rows), _CHUNK):
            part = slice(start, start + _CHUNK)
            keyframes = zip((names[i] for i in rows.video[part]), rows.second[part].tolist(), strict=True)
            numbers = np.column_stack([rows.boxes[part], rows.action[part], rows.score[part]]).tolist()
            file.writelines(
                f"{video},{_second(second)}," + "{:.9g},{:.9g},{:.9g},{:.9g},{:.0f},{:.9g}\n".format(*values)
                for (video, second), values in zip(keyframes, numbers, strict=True)
            )
        file.writelines(f"{_field(video)},{_second(second)}\n" for video, second in sorted(rows.empty))


def _field(video: str) -> str:
    text = printable(video)
    return '"{}"'.format(text.replace('"', '""')) if "," in text or '"' in text else text


def _second(second: float) -> str:
    return f"{second:04.0f}" if second.is_integer() else f"{second:.6f}"
