"""Seconds from an AVA results file to its mAP, against SlowFast's evaluator."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import torch

from benchmarks.cases import Case
from benchmarks.contender import OURS, Contender, Job, check_names
from benchmarks.rounds import run_case
from hiera_det.projects.ava.evaluation import PROTOCOLS, evaluate
from hiera_det.projects.ava.formats import read_detections, read_ground_truth, read_label_map

__all__ = ["PEERS", "compare_evaluators", "write_table"]

PEERS = ("slowfast",)
ACTIONS = 60  # those of AVA that are evaluated
FIRST_SECOND, SECONDS = 902, 897  # AVA has a keyframe in each second from 902 to 1798
PERSONS = 3  # boxes of a keyframe
ACTIONS_EACH = 2  # of a person, in the ground truth


def compare_evaluators(peers: Sequence[str], keyframes: Sequence[int], *, rounds: int) -> Iterator[Case]:
    """Time our four protocols and peers on generated tables: files are read, and what is compared is the mAP.

    Args:
        peers: names of `PEERS`.
        keyframes: numbers of keyframes, one for each table; AVA's validation set has 57,000. A keyframe has `PERSONS`
            boxes, each with a score for all `ACTIONS`.
        rounds: counted turns of each.

    Raises:
        ValueError: an unknown name.
    """
    check_names("--vs", peers, PEERS)
    for count in keyframes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_table(folder, count)
            contenders = [
                Contender(f"ours, {protocol}", OURS, protocol, partial(_build_ours, folder, protocol, count))
                for protocol in PROTOCOLS
            ]
            contenders += [Contender(peer, "slowfast", peer, partial(_build_slowfast, folder, count)) for peer in peers]
            yield run_case(contenders, {"keyframes": count}, device="cpu", threads=1, rounds=rounds)


def write_table(folder: Path, keyframes: int) -> None:
    """Write ``ground_truth.csv``, ``detections.csv`` and ``label_map.pbtxt``: random persons, found a little aside."""
    rng = np.random.default_rng(0)
    person = np.arange(keyframes * PERSONS)
    corners = rng.uniform(0, 0.6, (len(person), 2))
    boxes = np.concatenate([corners, corners + rng.uniform(0.1, 0.3, corners.shape)], axis=1)  # (P, 4)
    truth = np.repeat(person, ACTIONS_EACH)
    # Different ones for the same person: the second is drawn among the others.
    first = rng.integers(ACTIONS, size=len(person))
    second = (first + rng.integers(1, ACTIONS, size=len(person))) % ACTIONS
    _write(folder / "ground_truth.csv", truth, boxes[truth], 1 + np.stack([first, second], 1).ravel(), truth)
    found = np.repeat(person, ACTIONS)
    aside = (boxes + rng.normal(0, 0.02, boxes.shape)).clip(0, 1)
    scores = rng.permutation(len(found)) / len(
        found
    )  # all different: originals leave open which of equal ones is first
    _write(folder / "detections.csv", found, aside[found], 1 + np.tile(np.arange(ACTIONS), len(person)), scores)
    names = (f'item {{\n  name: "action {i}"\n  id: {i}\n}}\n' for i in range(1, ACTIONS + 1))
    (folder / "label_map.pbtxt").write_text("".join(names))


def _write(path: Path, person: np.ndarray, boxes: np.ndarray, action: np.ndarray, last: np.ndarray) -> None:
    keyframe = person // PERSONS
    videos = pa.array([f"video{i:06d}" for i in range(1 + int(keyframe[-1]) // SECONDS)])
    columns = [
        videos.take(pa.array(keyframe // SECONDS)),
        FIRST_SECOND + keyframe % SECONDS,
        *boxes.round(3).T,
        action,
        last,
    ]
    table = pa.table([pa.array(column) for column in columns], [str(i) for i in range(len(columns))])
    pa_csv.write_csv(table, path, pa_csv.WriteOptions(include_header=False, quoting_style="none"))


def _build_ours(folder: Path, protocol: str, keyframes: int) -> Job:
    def run() -> list[torch.Tensor]:
        found = evaluate(
            read_ground_truth(folder / "ground_truth.csv"),
            read_detections(folder / "detections.csv"),
            read_label_map(folder / "label_map.pbtxt"),
            protocol,
        )
        return [torch.tensor([found.mean_ap], dtype=torch.float64)]

    return Job(run, items=keyframes)


def _build_slowfast(folder: Path, keyframes: int) -> Job:
    for name, value in (("float", float), ("NAN", np.nan)):  # gone in numpy 2, which its release does not know of
        if not hasattr(np, name):
            setattr(np, name, value)
    from slowfast.utils import ava_eval_helper as helper

    def run() -> list[torch.Tensor]:
        categories, kept = helper.read_labelmap(str(folder / "label_map.pbtxt"))
        truth = helper.read_csv(str(folder / "ground_truth.csv"), kept)
        found = helper.read_csv(str(folder / "detections.csv"), kept, load_score=True)
        with redirect_stdout(io.StringIO()):  # it prints all its figures
            metrics = helper.run_evaluation(categories, truth, found, set())
        return [torch.tensor([metrics["PascalBoxes_Precision/mAP@0.5IOU"]], dtype=torch.float64)]

    return Job(run, items=keyframes)
