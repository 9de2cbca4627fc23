"""AVA's files: ground truth, detections, person boxes, exclusions, label maps.

Coordinates are fractions of the frame in [0, 1], times are seconds, action ids start at 1. What is beyond [0, 1] by no
more than ``ava.rows.TOLERANCE`` is clipped and counted in the log; anything further is an error.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np

from hiera_det.data.class_names import check_category_ids, check_class_names
from hiera_det.projects.ava.rows import Layout, Rows, join_rows, keyframe_problem, read_rows
from hiera_det.utils.files import atomic_write
from hiera_det.weights.pickles import load_data_pickle

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
        ValueError: a row is malformed, a box is outside [0, 1] or has its corners swapped; the line is named.
    """
    return read_rows(path, _GROUND_TRUTH)


def read_detections(path: str | Path) -> Rows:
    """Read ``video,second,x1,y1,x2,y2,action,score``; rows of ``video,second`` name keyframes without detections.

    An empty file has no rows. Boxes without area are kept: the evaluation drops them.

    Raises:
        OSError: the file cannot be read.
        ValueError: a row is malformed, a box is outside [0, 1] or a score is not finite; the line is named.
    """
    return read_rows(path, _DETECTIONS)


def read_person_boxes(path: str | Path) -> Rows:
    """Read person boxes with their detector's scores: SlowFast's CSV or mmaction2's pickle, by the file's ending.

    The CSV has the columns of :func:`read_detections`, the action mostly empty (-1). The ``.pkl`` holds
    ``{"video,0902": (N, 5) array of x1, y1, x2, y2, score}``; keyframes with N = 0 go to ``Rows.empty``.

    Raises:
        OSError: the file cannot be read.
        ValueError: as for :func:`read_detections`; for a pickle the key is named.
    """
    return _read_pickled_boxes(path) if Path(path).suffix == ".pkl" else read_rows(path, _PERSON_BOXES)


def read_exclusions(path: str | Path) -> set[tuple[str, float]]:
    """Read keyframes that an evaluation leaves out, ``video,second`` per line.

    Raises:
        OSError: the file cannot be read.
        ValueError: a row is malformed; the line is named.
    """
    excluded = set()
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        for row in filter(None, reader):
            problem = keyframe_problem(row) if len(row) == 2 else f"{len(row)} columns, expected video,second"
            if problem:
                raise ValueError(f"{path}, line {reader.line_num}: {problem}")
            excluded.add((row[0], float(row[1])))
    return excluded


def read_label_map(path: str | Path) -> dict[int, str]:
    """Read a label map of AVA (``.pbtxt``): blocks ``item { name: "…" id: … }``, also ``label``, ``label_id``.

    Returns:
        The action names by id, ids ascending.

    Raises:
        OSError: the file cannot be read.
        ValueError: there is no block, a block lacks its name or id, an id is below 1, or a name or id comes twice.
    """
    text = Path(path).read_text(encoding="utf-8")
    names: dict[int, str] = {}
    for block in re.finditer(r'\b(?:item|label)\s*\{((?:[^}"]|"[^"]*")*)\}', text):
        where = f"{path}, line {text.count(chr(10), 0, block.start()) + 1}"
        name = re.search(r'(?<!\w)name\s*:\s*"([^"]*)"', block[1])
        number = re.search(r"(?<!\w)(?:label_)?id\s*:\s*(\d+)", block[1])
        if not name or not number:
            raise ValueError(f'{where}: the block lacks its name or id; expected item {{ name: "…" id: … }}')
        if int(number[1]) < 1 or int(number[1]) in names or name[1] in names.values():
            raise ValueError(f"{where}: id {number[1]}, {name[1]!r}: ids start at 1, and ids and names come once")
        names[int(number[1])] = name[1]
    if not names:
        raise ValueError(f'{path} has no action; expected blocks item {{ name: "…" id: … }} (AVA\'s .pbtxt)')
    check_category_ids(list(names), check_class_names(list(names.values()), str(path)), str(path))
    return dict(sorted(names.items()))


def write_results(path: str | Path, rows: Rows) -> None:
    """Write detections as AVA's results CSV, ``video,second,x1,y1,x2,y2,action,score``; whole or not there.

    Whole seconds have four digits, as AVA's. Coordinates and scores have the nine significant digits that keep a
    float32: fewer (SlowFast writes 3 and 4 decimals) would tie scores, and the file would not give the mAP of the
    arrays.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        for start in range(0, len(rows), _CHUNK):
            part = slice(start, start + _CHUNK)
            keyframes = zip((rows.videos[i] for i in rows.video[part]), rows.second[part].tolist(), strict=True)
            numbers = np.column_stack([rows.boxes[part], rows.action[part], rows.score[part]]).tolist()
            file.writelines(
                f"{video},{_second(second)},%.9g,%.9g,%.9g,%.9g,%d,%.9g\n" % tuple(values)
                for (video, second), values in zip(keyframes, numbers, strict=True)
            )
        file.writelines(f"{video},{_second(second)}\n" for video, second in sorted(rows.empty))


def _second(second: float) -> str:
    return f"{second:04.0f}" if second.is_integer() else f"{second:.6f}"


def _read_pickled_boxes(path: str | Path) -> Rows:
    table = load_data_pickle(path)
    if not isinstance(table, dict):
        raise ValueError(f'{path} holds a {type(table).__name__}, expected {{"video,0902": (N, 5) array, …}}')
    parts: dict[tuple[str, float], np.ndarray] = {}
    for key, boxes in table.items():
        fields = str(key).rsplit(",", 1)
        problem = keyframe_problem(fields) if len(fields) == 2 else "expected a key video,second"
        if problem:
            raise ValueError(f"{path}, key {key!r}: {problem}")
        if not isinstance(boxes, np.ndarray) or boxes.dtype.kind not in "fiu" or boxes.shape[1:] != (5,):
            shape = getattr(boxes, "shape", type(boxes).__name__)
            raise ValueError(f"{path}, key {key!r}: {shape}, expected an (N, 5) array of x1, y1, x2, y2, score")
        parts[fields[0], float(fields[1])] = boxes.astype(np.float64)
    return join_rows(parts, str(path))
