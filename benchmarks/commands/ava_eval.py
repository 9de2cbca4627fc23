"""Compare evaluators of AVA: seconds from a results file to its mAP."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import torch

from benchmarks.candidate import OURS, Candidate, Job, check_names
from benchmarks.cases import Case, combinations
from benchmarks.rounds import Settings, run_case
from hiera_det.projects.ava.evaluation import PROTOCOLS, evaluate
from hiera_det.projects.ava.formats import read_detections, read_ground_truth, read_label_map

__all__ = ["compare_evaluators", "write_tables"]

ACTIONS = 60  # those of AVA that are evaluated
FIRST_SECOND, SECONDS = 902, 897  # AVA has a keyframe in each second from 902 to 1798
PERSONS = 3  # boxes of a keyframe
ACTIONS_EACH = 2  # of a person, in the ground truth


def compare_evaluators(
    baselines: Sequence[str], axes: Mapping[str, Sequence[Any]], settings: Settings
) -> Iterator[Case]:
    """Time our four protocols and the baselines on generated tables, reading included; their mAPs are compared.

    Args:
        baselines: "slowfast", or none.
        axes: lists of values for each condition: ``keyframes`` of a table; AVA's validation set has 57,000. A keyframe
            has `PERSONS` boxes, each with a score for all `ACTIONS`.
        settings: rounds.

    Raises:
        ValueError: a baseline is unknown.
    """
    check_names("--vs", baselines, ["slowfast"])
    for case in combinations(axes):
        with tempfile.TemporaryDirectory() as temporary:
            table = Path(temporary), case["keyframes"]
            write_tables(*table)
            candidates = [
                *(Candidate(f"ours, {p}", OURS, p, partial(_build_ours, *table, p)) for p in PROTOCOLS),
                *(Candidate(name, name, name, partial(_build_slowfast, *table)) for name in baselines),
            ]
            yield run_case(candidates, {**case, "threads": 1}, settings)


def write_tables(folder: Path, keyframes: int) -> None:
    """Write ``ground_truth.csv``, ``detections.csv`` and ``label_map.pbtxt``: persons and noisy detections."""
    rng = np.random.default_rng(0)
    person = np.arange(keyframes * PERSONS)
    corners = rng.uniform(0, 0.6, (len(person), 2))
    boxes = np.concatenate([corners, corners + rng.uniform(0.1, 0.3, corners.shape)], axis=1)  # (P, 4)
    truth = np.repeat(person, ACTIONS_EACH)
    first = rng.integers(ACTIONS, size=len(person))
    second = (first + rng.integers(1, ACTIONS, size=len(person))) % ACTIONS  # never the first
    _write_csv(folder / "ground_truth.csv", truth, boxes[truth], 1 + np.stack([first, second], 1).ravel(), truth)
    detected = np.repeat(person, ACTIONS)
    offset_boxes = (boxes + rng.normal(0, 0.02, boxes.shape)).clip(0, 1)
    # No two scores are equal: the original evaluators leave the order of equal scores open.
    scores = rng.permutation(len(detected)) / len(detected)
    actions = 1 + np.tile(np.arange(ACTIONS), len(person))
    _write_csv(folder / "detections.csv", detected, offset_boxes[detected], actions, scores)
    names = (f'item {{\n  name: "action {i}"\n  id: {i}\n}}\n' for i in range(1, ACTIONS + 1))
    (folder / "label_map.pbtxt").write_text("".join(names))


def _write_csv(path: Path, person: np.ndarray, boxes: np.ndarray, action: np.ndarray, last: np.ndarray) -> None:
    keyframe = person // PERSONS
    videos = pa.array([f"video{i:06d}" for i in range(1 + int(keyframe[-1]) // SECONDS)])
    video, second = videos.take(pa.array(keyframe // SECONDS)), FIRST_SECOND + keyframe % SECONDS
    columns = [pa.array(column) for column in (video, second, *boxes.round(3).T, action, last)]
    table = pa.table(columns, [str(i) for i in range(len(columns))])
    pa_csv.write_csv(table, path, pa_csv.WriteOptions(include_header=False, quoting_style="none"))


def _build_ours(folder: Path, keyframes: int, protocol: str) -> Job:
    def step() -> list[torch.Tensor]:
        result = evaluate(
            read_ground_truth(folder / "ground_truth.csv"),
            read_detections(folder / "detections.csv"),
            read_label_map(folder / "label_map.pbtxt"),
            protocol,
        )
        return [torch.tensor([result.mean_ap], dtype=torch.float64)]

    return Job(step, items=keyframes)


def _build_slowfast(folder: Path, keyframes: int) -> Job:
    for name, value in (("float", float), ("NAN", np.nan)):  # its release predates numpy 2, which has removed them
        if not hasattr(np, name):
            setattr(np, name, value)
    from slowfast.utils import ava_eval_helper as helper

    def step() -> list[torch.Tensor]:
        categories, class_ids = helper.read_labelmap(str(folder / "label_map.pbtxt"))
        truth = helper.read_csv(str(folder / "ground_truth.csv"), class_ids)
        detections = helper.read_csv(str(folder / "detections.csv"), class_ids, load_score=True)
        with redirect_stdout(io.StringIO()):  # it prints all its figures
            metrics = helper.run_evaluation(categories, truth, detections, set())
        return [torch.tensor([metrics["PascalBoxes_Precision/mAP@0.5IOU"]], dtype=torch.float64)]

    return Job(step, items=keyframes)
