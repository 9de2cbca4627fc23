"""How well a simple classifier tells classes apart by frozen vectors: a linear probe, or nearest neighbours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hiera_det.features.analysis.vectors import check_finite, name_some, rows_of

__all__ = ["METHODS", "ProbeResult", "probe", "split_labels"]

METHODS = ("linear", "knn")


@dataclass(frozen=True)
class ProbeResult:
    """What a probe found.

    Args:
        classes: names of the K classes, in order; numbers in the order of numbers.
        train_counts: (K,) training items of each.
        confusion: (K, K) test items by true class (rows) and predicted class (columns).
    """

    classes: tuple[str, ...]
    train_counts: np.ndarray
    confusion: np.ndarray

    @property
    def test_counts(self) -> np.ndarray:
        """(K,) test items of each class."""
        return self.confusion.sum(axis=1)

    @property
    def accuracy(self) -> float:
        """Share of the test items whose class is predicted, 0 to 1."""
        return float(np.trace(self.confusion) / self.confusion.sum())

    @property
    def chance(self) -> float:
        """Share of the largest class of the test items: what it gives to predict one class always."""
        return float(self.test_counts.max() / self.confusion.sum())

    @property
    def class_accuracy(self) -> list[float | None]:
        """Share of each class's test items whose class is predicted; None for a class without test items."""
        pairs = zip(np.diag(self.confusion).tolist(), self.test_counts.tolist(), strict=True)
        return [hits / count if count else None for hits, count in pairs]


def split_labels(
    labels: Mapping[str, str], test_share: float = 0.2, seed: int = 0
) -> tuple[dict[str, str], dict[str, str]]:
    """Split labelled ids at random into training and test, each class in proportion.

    The split depends on the set of ids, not on their order.

    Args:
        labels: label by id.
        test_share: of the test ids, between 0 and 1.
        seed: of the draw.

    Returns:
        Labels by id of the training and of the test items.

    Raises:
        ValueError: there is one class only, a class has a single item, or the parts are too small to hold each class.
    """
    if not 0 < test_share < 1:
        raise ValueError(f"a test share of {test_share:g}, expected more than 0 and less than 1")
    counts = Counter(labels.values())
    _check_classes(counts)
    single = sorted(name for name, count in counts.items() if count == 1)
    if single:
        raise ValueError(
            f"{len(single)} classes have a single item, which cannot stand in training and test both: "
            f"{name_some(single)}; leave them out, or name the test items yourself (--test-labels)"
        )
    tests = int(np.ceil(test_share * len(labels)))  # as scikit-learn counts them
    if min(tests, len(labels) - tests) < len(counts):
        raise ValueError(
            f"a test share of {test_share:g} leaves {len(labels) - tests} training and {tests} test items, fewer than "
            f"the {len(counts)} classes; choose another --test-share or label more items"
        )
    ids = sorted(labels)
    train, test = train_test_split(
        ids, test_size=tests, random_state=seed, stratify=[labels[name] for name in ids], shuffle=True
    )
    return {name: labels[name] for name in train}, {name: labels[name] for name in test}


def probe(
    ids: Sequence[str],
    vectors: np.ndarray,
    train_labels: Mapping[str, str],
    test_labels: Mapping[str, str],
    *,
    method: str = "linear",
    k: int = 20,
) -> ProbeResult:
    """Fit a classifier to the training items' vectors and count what it predicts for the test items.

    Args:
        ids: of the rows of `vectors`.
        vectors: (N, D), of any float dtype.
        train_labels: label by id; ids in neither mapping are not looked at.
        test_labels: the same, of other ids.
        method: "linear": logistic regression on standardised vectors (L2 penalty, C = 1, as scikit-learn has it);
            "knn": most frequent class of the `k` nearest by cosine, of several the first in the order of names.
        k: neighbours of "knn".

    Returns:
        Counts of what was predicted.

    Raises:
        ValueError: ids are unknown or in both mappings, one class only, classes that the training has no item of,
            vectors with NaN or infinity, an unknown method, or fewer training items than `k`.
    """
    _check_given(train_labels, test_labels)
    classifier = _classifier(method, k, len(train_labels))
    train_x, train_y = _select(ids, vectors, train_labels)
    test_x, test_y = _select(ids, vectors, test_labels)
    classifier.fit(train_x, train_y)
    classes = _ordered(train_labels.values())
    counts = Counter(train_y)
    return ProbeResult(
        classes,
        np.array([counts[name] for name in classes]),
        confusion_matrix(test_y, classifier.predict(test_x), labels=list(classes)),
    )


def _select(ids: Sequence[str], vectors: np.ndarray, labels: Mapping[str, str]) -> tuple[np.ndarray, list[str]]:
    chosen = vectors[rows_of(labels, ids)].astype(np.float32)  # (n, D); half precision is too coarse to sum in
    check_finite(list(labels), chosen)
    return chosen, list(labels.values())


def _classifier(method: str, k: int, train: int) -> Any:
    if method == "linear":
        return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    if method != "knn":
        raise ValueError(f"method {method!r}, expected one of {', '.join(METHODS)}")
    if not 1 <= k <= train:
        raise ValueError(f"{k} neighbours of {train} training items; expected --k from 1 to {train}")
    return KNeighborsClassifier(k, metric="cosine", algorithm="brute")


def _check_given(train_labels: Mapping[str, str], test_labels: Mapping[str, str]) -> None:
    both = sorted(train_labels.keys() & test_labels.keys())
    if both:
        raise ValueError(f"{len(both)} ids are training and test items both: {name_some(both)}; keep them in one")
    if not test_labels:
        raise ValueError("there are no test items; expected at least one")
    _check_classes(Counter(train_labels.values()))
    unseen = sorted(set(test_labels.values()) - set(train_labels.values()))
    if unseen:
        raise ValueError(
            f"{len(unseen)} classes of the test items have no training item: {name_some(unseen)}; label some, or leave "
            "the classes out (a smaller test share leaves more for training)"
        )


def _check_classes(counts: Mapping[str, int]) -> None:
    if len(counts) < 2:
        raise ValueError(f"the labels name {len(counts)} class ({name_some(counts)}), expected at least 2")


def _ordered(names: Any) -> tuple[str, ...]:
    distinct = set(names)
    return tuple(sorted(sorted(distinct), key=int if all(name.isdecimal() for name in distinct) else None))
