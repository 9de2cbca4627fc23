"""Generated tables that the evaluators take, of the size that is asked for."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest

from benchmarks import ava_eval as benchmark
from hiera_det.projects.ava.evaluation import PROTOCOLS
from hiera_det.projects.ava.formats import read_detections, read_ground_truth, read_label_map


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    benchmark.write_table(folder, 1000)
    return folder


def test_table(folder):
    truth, found = read_ground_truth(folder / "ground_truth.csv"), read_detections(folder / "detections.csv")
    assert len(truth) == 1000 * 3 * 2 and len(found) == 1000 * 3 * 60
    assert len(truth.videos) == 2 and truth.second.min() == 902 and truth.second.max() == 1798
    assert len(set(found.score)) == len(found)  # originals order equal scores as they like
    assert len(read_label_map(folder / "label_map.pbtxt")) == 60
    pairs = np.stack([truth.video, truth.second, truth.boxes[:, 0], truth.boxes[:, 1], truth.action])
    assert len(np.unique(pairs, axis=1).T) == len(truth)  # no action twice of one person


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_ours(folder, protocol):
    job = benchmark._build_ours(folder, protocol, 1000)
    (mean_ap,) = job.run()
    assert job.items == 1000 and 0 < mean_ap < 1


def test_slowfast_is_asked_for_the_same(folder, monkeypatch):
    """Its package is on no machine of ours: a stand-in takes what it is given."""
    helper = ModuleType("slowfast.utils.ava_eval_helper")
    helper.read_labelmap = lambda path: ([{"id": 1, "name": path}], {1})
    helper.read_csv = lambda path, kept, load_score=False: (path.rsplit("/", 1)[1], kept, load_score)

    def run_evaluation(categories, truth, found, excluded):
        print("all its figures")
        assert truth == ("ground_truth.csv", {1}, False) and found == ("detections.csv", {1}, True)
        return {"PascalBoxes_Precision/mAP@0.5IOU": 0.25}

    helper.run_evaluation = run_evaluation
    utils, package = ModuleType("slowfast.utils"), ModuleType("slowfast")
    utils.ava_eval_helper = helper
    for module in (package, utils, helper):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    for name in ("float", "NAN"):
        monkeypatch.delattr(np, name, raising=False)
    assert benchmark._build_slowfast(folder, 1000).run()[0].item() == 0.25
    assert np.float is float and np.isnan(np.NAN)


def test_unknown_peer():
    with pytest.raises(ValueError, match="--vs mmaction2: no such contender here; there are slowfast"):
        next(benchmark.compare_evaluators(["mmaction2"], [10], rounds=1))
