"""AVA mAP on random tables: against a slow, obvious reference, against pyslowfast, and under other orders of rows."""

from __future__ import annotations

import contextlib
import importlib
import io
import math
import random
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from hiera_det.projects.ava.evaluation import PROTOCOLS, evaluate
from hiera_det.projects.ava.formats import read_detections, read_ground_truth, read_label_map, write_results
from hiera_det.projects.ava.rows import Rows

LABEL_MAP = {1: "walk", 2: "run", 4: "jump", 5: "wave", 9: "never there"}
EXCLUSIONS = {("v0", 902.0), ("v2", 903.0), ("nowhere", 902.0)}
OFFICIAL = ("official2018", "official2019", "official2020")


def random_tables(seed: int) -> tuple[Rows, Rows]:
    """Ground truth, and detections with duplicates, crowded keyframes, false ones, boxes without area; no ties."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for video in range(4):
        for second in range(902, 906):
            for _ in range(rng.integers(0, 5)):
                corner, size = rng.random(2) * 0.5, rng.uniform(0.1, 0.5, 2)
                person = np.concatenate([corner, corner + size])
                if video < 3 and rng.random() < 0.8:
                    truth += [
                        (video, second, person, action) for action in rng.choice([1, 2, 3, 4, 5], 2, replace=False)
                    ]
                for _ in range(rng.integers(2, 7)):
                    box = np.clip(person + rng.normal(0, 0.04, 4), 0, 1)
                    box[2] = box[0] if rng.random() < 0.05 else box[2]
                    found += [(video, second, box, action) for action in range(1, 7) if rng.random() < 0.9]
    empty = {("v3", 902.0), ("v1", 903.0)}
    return _table(truth, np.ones(len(truth)), empty), _table(found, rng.permutation(len(found)) / len(found), set())


def _table(rows: list, scores: np.ndarray, empty: set) -> Rows:
    video, second, boxes, action = (np.array(column) for column in zip(*rows, strict=True))
    names = [f"v{i}" for i in range(4)]
    return Rows(names, video.astype(np.int32), second.astype(float), boxes, action.astype(np.int32), scores, empty)


def reordered(rows: Rows, order: np.ndarray) -> Rows:
    columns = (rows.video, rows.second, rows.boxes, rows.action, rows.score)
    return Rows(rows.videos, *(column[order] for column in columns), rows.empty)


def slow_ap(truth: Rows, found: Rows, protocol: str, excluded: set) -> dict[str, float]:
    """AP by action, row by row, from the description of the protocols alone."""

    def by_keyframe(rows: Rows) -> dict:
        keyframes = defaultdict(list)
        for i in range(len(rows)):
            keyframe = rows.videos[rows.video[i]], float(rows.second[i])
            keyframes[keyframe].append((int(rows.action[i]), rows.boxes[i].tolist(), float(rows.score[i])))
        return keyframes

    truth_of, found_of = by_keyframe(truth), by_keyframe(found)
    if protocol == "official2020":
        found_of = {key: rows for key, rows in found_of.items() if key in truth_of or key in truth.empty}
    else:
        truth_of = {key: rows for key, rows in truth_of.items() if key not in excluded}
        found_of = {key: rows for key, rows in found_of.items() if key not in excluded}
    ranked, instances = defaultdict(list), defaultdict(int)
    for rows in truth_of.values():
        for action, _, _ in rows:
            instances[action] += 1
    for key, rows in found_of.items():
        rows = [row for row in rows if row[0] in LABEL_MAP]
        if protocol != "slowfast":
            rows = sorted(rows, key=lambda row: -row[2])
        if protocol in ("official2019", "official2020"):
            rows = rows[:50]
        taken = set()
        for action, box, score in rows:
            if box[0] >= box[2] or box[1] >= box[3]:
                continue
            rivals = [(iou(box, other), -i) for i, (act, other, _) in enumerate(truth_of.get(key, [])) if act == action]
            best, place = max(rivals, default=(0.0, 0))
            hit = best >= 0.5 and place not in taken
            if hit:
                taken.add(place)
            ranked[action].append((score, hit))
    return {name: area(ranked[action], instances[action]) for action, name in LABEL_MAP.items()}


def iou(a: list[float], b: list[float]) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (areas - width * height)


def area(ranked: list[tuple[float, bool]], instances: int) -> float:
    """Sum over the hits of the best precision from there on, over the number of instances."""
    if not instances:
        return math.nan
    hits = [hit for _, hit in sorted(ranked, key=lambda pair: -pair[0])]
    precisions = [sum(hits[: i + 1]) / (i + 1) for i in range(len(hits))]
    return sum(max(precisions[i:]) for i, hit in enumerate(hits) if hit) / instances


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_equals_the_slow_reference(protocol: str, seed: int) -> None:
    truth, found = random_tables(seed)
    excluded = EXCLUSIONS if seed % 2 else set()
    result = evaluate(truth, found, LABEL_MAP, protocol, excluded)
    expected = slow_ap(truth, found, protocol, excluded)
    assert result.ap == pytest.approx(expected, abs=1e-12, nan_ok=True)
    assert result.mean_ap == pytest.approx(np.nanmean(list(expected.values())), abs=1e-12)


def test_random_tables_tell_the_protocols_apart() -> None:
    figures = {protocol: evaluate(*random_tables(0), LABEL_MAP, protocol, EXCLUSIONS).mean_ap for protocol in PROTOCOLS}
    assert len({round(value, 4) for value in figures.values()}) == 4


@pytest.mark.parametrize("protocol", OFFICIAL)
def test_official_figures_do_not_depend_on_the_order_of_rows(protocol: str) -> None:
    truth, found = random_tables(3)
    rng = np.random.default_rng(0)
    expected = evaluate(truth, found, LABEL_MAP, protocol)
    for _ in range(5):
        shuffled = reordered(truth, rng.permutation(len(truth))), reordered(found, rng.permutation(len(found)))
        assert evaluate(*shuffled, LABEL_MAP, protocol).ap == pytest.approx(expected.ap, abs=1e-12, nan_ok=True)


def test_slowfast_figures_depend_on_the_order_within_keyframe_and_action_only() -> None:
    truth, found = random_tables(3)
    expected = evaluate(truth, found, LABEL_MAP, "slowfast")
    groups = defaultdict(list)
    for i in range(len(found)):
        groups[int(found.video[i]), float(found.second[i]), int(found.action[i])].append(i)
    for seed in range(5):
        parts = list(groups.values())
        random.Random(seed).shuffle(parts)
        others = evaluate(truth, reordered(found, np.concatenate(parts)), LABEL_MAP, "slowfast")
        assert others.ap == pytest.approx(expected.ap, abs=1e-12, nan_ok=True)
    backwards = evaluate(truth, reordered(found, np.arange(len(found))[::-1]), LABEL_MAP, "slowfast")
    assert abs(backwards.ap["walk"] - expected.ap["walk"]) > 1e-3


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_numbers_of_videos_do_not_matter(protocol: str) -> None:
    truth, found = random_tables(5)
    other = Rows(found.videos[::-1], 3 - found.video, found.second, found.boxes, found.action, found.score)
    expected = evaluate(truth, found, LABEL_MAP, protocol, EXCLUSIONS)
    renumbered = evaluate(truth, other, LABEL_MAP, protocol, EXCLUSIONS)
    assert renumbered.ap == pytest.approx(expected.ap, abs=1e-12, nan_ok=True)
    assert renumbered.ignored == expected.ignored


def _slowfast_evaluator(monkeypatch: pytest.MonkeyPatch):
    """Pyslowfast 1.0's evaluator, with the names that numpy has dropped."""
    pytest.importorskip("slowfast", reason="pyslowfast is not installed (pip install --no-deps pyslowfast==1.0)")
    for name, value in {"bool": bool, "float": float, "NAN": float("nan")}.items():
        monkeypatch.setattr(np, name, value, raising=False)
    try:
        return importlib.import_module("slowfast.utils.ava_eval_helper")
    except ImportError as error:
        pytest.skip(f"the evaluator of this slowfast does not import (SlowFast main's is not public): {error}")


@pytest.mark.parametrize("seed", range(3))
def test_equals_pyslowfast(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = _slowfast_evaluator(monkeypatch)
    truth_file, found_file, map_file = tmp_path / "truth.csv", tmp_path / "found.csv", tmp_path / "map.pbtxt"
    truth, found = random_tables(seed)
    write_results(truth_file, Rows(truth.videos, truth.video, truth.second, truth.boxes, truth.action, truth.score))
    write_results(found_file, found)
    map_file.write_text("".join(f'item {{\n  name: "{name}"\n  id: {i}\n}}\n' for i, name in LABEL_MAP.items()))
    categories, known = helper.read_labelmap(str(map_file))
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = helper.run_evaluation(
            categories,
            helper.read_csv(str(truth_file), known),
            helper.read_csv(str(found_file), known, load_score=True),
            {f"{video},{second:04.0f}" for video, second in EXCLUSIONS},
        )
    ours = evaluate(
        read_ground_truth(truth_file), read_detections(found_file), read_label_map(map_file), "slowfast", EXCLUSIONS
    )
    assert ours.mean_ap == pytest.approx(theirs["PascalBoxes_Precision/mAP@0.5IOU"], abs=1e-9)
    for name, value in ours.ap.items():
        assert value == pytest.approx(
            theirs[f"PascalBoxes_PerformanceByCategory/AP@0.5IOU/{name}"], abs=1e-9, nan_ok=True
        )
