from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from hiera_det.features.analysis.probe import METHODS, ProbeResult, probe, split_labels
from hiera_det.features.analysis.probe_report import format_probe, write_confusion, write_probe

CLASSES = ("bird", "cat", "dog", "$x^$")


@pytest.fixture
def clouds() -> tuple[list[str], np.ndarray, dict[str, str]]:
    """Four far apart clouds of 25 vectors in half precision, their ids in disorder."""
    rng = np.random.default_rng(0)
    kinds = rng.permutation(np.repeat(np.arange(4), 25))
    vectors = 20 * np.eye(4, 16)[kinds] + rng.normal(size=(100, 16))
    ids = [f"{i}.jpg" for i in rng.permutation(100)]
    labels = {name: CLASSES[kind] for name, kind in zip(ids, kinds, strict=True)}
    return ids, vectors.astype(np.float16), labels


@pytest.mark.parametrize("method", METHODS)
def test_separable_classes_are_told_apart(clouds, method):
    ids, vectors, labels = clouds
    train, test = split_labels(labels)
    result = probe(ids, vectors, train, test, method=method, k=5)
    assert result.accuracy == 1.0
    assert result.chance == 0.25
    assert result.classes == tuple(sorted(CLASSES))
    assert result.train_counts.tolist() == [20] * 4
    assert result.confusion.tolist() == (5 * np.eye(4, dtype=int)).tolist()


@pytest.mark.parametrize("method", METHODS)
def test_permuted_labels_are_near_chance(clouds, method):
    ids, vectors, labels = clouds
    names = np.random.default_rng(1).permutation(list(labels.values())).tolist()
    train, test = split_labels(dict(zip(labels, names, strict=True)), test_share=0.5)
    assert probe(ids, vectors, train, test, method=method, k=5).accuracy < 0.45


def test_neighbours_vote_by_angle_not_by_distance():
    # Of (2, 2): at 0 degrees d, at 18 c, at 27 a and b. By distance c would be the last.
    ids = list("abcdq")
    vectors = np.array([[1, 3], [3, 1], [50, 25], [9, 9], [2, 2]], np.float32)
    train = {"a": "far", "b": "far", "c": "near", "d": "near"}
    for k, expected in ((1, "near"), (2, "near"), (3, "near"), (4, "far")):  # of 2 to 2 the first name
        result = probe(ids, vectors, train, {"q": expected}, method="knn", k=k)
        assert result.accuracy == 1.0, k


def test_the_linear_probe_sees_differences_that_a_large_offset_hides():
    """Standardised: else the first number, 1000 in all vectors, would leave nothing of the second."""
    rng = np.random.default_rng(0)
    sides = np.repeat([-1.0, 1.0], 20)
    vectors = np.stack([1000 + rng.normal(size=40), 1e-4 * (sides + 0.1 * rng.normal(size=40))], axis=1)
    ids = [str(i) for i in range(40)]
    train, test = split_labels({name: str(side) for name, side in zip(ids, sides, strict=True)})
    assert probe(ids, vectors, train, test).accuracy == 1.0


def test_the_split_keeps_proportions_and_depends_on_the_seed_alone():
    labels = {f"a{i}": "a" for i in range(80)} | {f"b{i}": "b" for i in range(20)}
    train, test = split_labels(labels, 0.25, seed=3)
    assert train | test == labels and not train.keys() & test.keys()
    assert Counter(test.values()) == {"a": 20, "b": 5}
    turned = dict(reversed(labels.items()))
    assert split_labels(turned, 0.25, seed=3) == (train, test)
    assert split_labels(labels, 0.25, seed=4)[1].keys() != test.keys()


def test_result_in_numbers():
    result = ProbeResult(("2", "10", "11"), np.array([5, 6, 7]), np.array([[3, 1, 0], [2, 4, 0], [0, 0, 0]]))
    assert result.accuracy == 0.7
    assert result.chance == 0.6
    assert result.class_accuracy == [0.75, pytest.approx(2 / 3), None]


def test_classes_that_are_numbers_stand_in_their_order():
    ids = [str(i) for i in range(6)]
    train = dict(zip(ids[:3], ["10", "9", "2"], strict=True))
    result = probe(ids, np.eye(6), train, {"5": "9"}, method="knn", k=1)
    assert result.classes == ("2", "9", "10")
    assert result.test_counts.tolist() == [0, 1, 0]


def test_a_class_seen_in_the_test_only_is_refused():
    with pytest.raises(ValueError, match="1 classes of the test items have no training item: 'fish'"):
        probe(list("abc"), np.eye(3), {"a": "cat", "b": "dog"}, {"c": "fish"})


@pytest.mark.parametrize(
    ("train", "test", "settings", "message"),
    [
        ({"a": "x", "b": "y"}, {"b": "y"}, {}, "1 ids are training and test items both: 'b'"),
        ({"a": "x", "b": "y"}, {}, {}, "no test items"),
        ({"a": "x", "b": "x"}, {"c": "x"}, {}, r"name 1 class \('x'\), expected at least 2"),
        ({"a": "x", "z": "y"}, {"c": "x"}, {}, "1 of 2 ids are not among the 4 of the store: 'z'"),
        ({"a": "x", "b": "y"}, {"z": "y"}, {}, "1 of 1 ids are not among the 4 of the store: 'z'"),
        ({"a": "x", "b": "y"}, {"d": "y"}, {}, "1 of 1 vectors hold NaN or infinity: 'd'"),
        ({"a": "x", "b": "y"}, {"c": "y"}, {"method": "svm"}, "method 'svm', expected one of linear, knn"),
        ({"a": "x", "b": "y"}, {"c": "y"}, {"method": "knn", "k": 3}, "3 neighbours of 2 training items"),
        ({"a": "x", "b": "y"}, {"c": "y"}, {"method": "knn", "k": 0}, "0 neighbours of 2 training items"),
    ],
)
def test_input_at_fault(train, test, settings, message):
    vectors = np.eye(4)
    vectors[3] = np.nan
    with pytest.raises(ValueError, match=message):
        probe(list("abcd"), vectors, train, test, **settings)


@pytest.mark.parametrize(
    ("counts", "share", "message"),
    [
        ({"x": 9}, 0.2, "1 class"),
        ({}, 0.2, "0 class"),
        ({"x": 9, "y": 1, "z": 1}, 0.2, "2 classes have a single item.*'y', 'z'"),
        ({"x": 2, "y": 2, "z": 2}, 0.2, "leaves 4 training and 2 test items, fewer than the 3 classes"),
        ({"x": 2, "y": 2, "z": 2}, 0.9, "leaves 0 training and 6 test items"),
        ({"x": 9, "y": 9}, 0.0, "test share of 0, expected more than 0"),
        ({"x": 9, "y": 9}, 1.0, "test share of 1, expected more than 0 and less than 1"),
    ],
)
def test_labels_that_cannot_be_split(counts, share, message):
    labels = {f"{name}{i}": name for name, count in counts.items() for i in range(count)}
    with pytest.raises(ValueError, match=message):
        split_labels(labels, share)


@pytest.fixture
def result() -> ProbeResult:
    return ProbeResult(("cat", "$x^$", "empty"), np.array([5, 6, 7]), np.array([[3, 1, 0], [2, 4, 0], [0, 0, 0]]))


def test_table(result):
    lines = format_probe(result).splitlines()
    assert lines[1].split() == ["cat", "5", "4", "75.00"]
    assert lines[3].split() == ["empty", "7", "0", "-"]
    assert lines[-2].startswith("accuracy:  70.00 % of 10 test items, after 18 training items of 3 classes")
    assert lines[-1] == "chance:    60.00 % by predicting '$x^$' always"


def test_json(tmp_path, result):
    write_probe(tmp_path / "probe.json", result, {"method": "knn", "k": 3})
    content = json.loads((tmp_path / "probe.json").read_text())
    assert (content["accuracy"], content["chance"]) == (0.7, 0.6)
    assert (content["classes"], content["train"], content["test"]) == (3, 18, 10)
    assert content["settings"] == {"method": "knn", "k": 3}
    assert list(content["per_class"]) == ["cat", "$x^$", "empty"]
    assert content["per_class"]["cat"] == {"accuracy": 0.75, "train": 5, "test": 4}
    assert content["per_class"]["empty"]["accuracy"] is None


def test_picture_is_dark_where_predictions_are(tmp_path, result):
    """A malformed formula for a name does not stop it; the dark cells of the first row: 75 % and 25 %."""
    write_confusion(tmp_path / "confusion.png", result)
    grey = np.asarray(Image.open(tmp_path / "confusion.png").convert("L"), float)
    frame = np.flatnonzero((grey < 60).mean(axis=1) > 0.5), np.flatnonzero((grey < 60).mean(axis=0) > 0.5)
    top, bottom, left, right = frame[0][0], frame[0][-1], frame[1][0], frame[1][-1]

    def shade(row: int, column: int) -> float:
        y, x = (top + (bottom - top) * (row + 0.2) / 3, left + (right - left) * (column + 0.2) / 3)
        return grey[int(y), int(x)]

    assert shade(0, 0) < shade(1, 1) < shade(1, 0) < shade(0, 1) < shade(2, 2)
    assert shade(2, 2) > 240 and shade(0, 2) > 240


def test_many_classes_still_fit(tmp_path):
    names = tuple(f"a class with a name that is far too long {i}" for i in range(120))
    result = ProbeResult(names, np.full(120, 4), np.eye(120, dtype=int))
    write_confusion(tmp_path / "confusion.png", result)
    assert max(Image.open(tmp_path / "confusion.png").size) < 3000
