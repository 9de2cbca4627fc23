"""Items whose vectors are most similar to those of given items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hiera_det.features.analysis.vectors import check_finite, rows_of
from hiera_det.features.store.reader import FeatureStore
from hiera_det.utils.escape import printable

__all__ = ["Match", "format_matches", "search", "search_store"]

_BLOCK = 256  # queries compared at once


@dataclass(frozen=True)
class Match:
    """An item that was found.

    Args:
        id: of the item.
        score: cosine of the angle between its vector and the query's, -1 to 1.
    """

    id: str
    score: float


def search_store(
    store: FeatureStore,
    query_ids: Sequence[str],
    *,
    query_store: FeatureStore | None = None,
    vector: str = "mean",
    k: int = 10,
) -> list[list[Match]]:
    """Find the items of a store that are most similar to given ones, as :func:`search` does.

    Args:
        store: to search in.
        query_ids: of items of `query_store`.
        query_store: None: `store`. Of the same store, a query is no match of itself.
        vector: name of the vectors to compare.
        k: matches of each query.

    Raises:
        ValueError: queries are unknown or could not be read when features were taken, the stores are of different
            weights, they have no such vectors, or as :func:`search`.
    """
    source = store if query_store is None else query_store
    if source.spec["weights_sha256"] != store.spec["weights_sha256"]:
        raise ValueError(
            f"{source.root} is of model {source.spec['model']}, weights {source.spec['weights_sha256'][:12]}…, and "
            f"{store.root} of {store.spec['model']}, {store.spec['weights_sha256'][:12]}…: their vectors cannot be "
            "compared; extract both with the same weights"
        )
    for failure in source.failed:
        if failure.id in query_ids:
            raise ValueError(f"{failure.id!r} could not be read when features were taken: {failure.reason}")
    ids, vectors = store.vectors(vector)
    same = source.root.resolve() == store.root.resolve()
    source_ids, source_vectors = (ids, vectors) if same else source.vectors(vector)
    queries = source_vectors[rows_of(query_ids, source_ids)]
    return search(query_ids, queries, ids, vectors, k=k, leave_out_query=same)


def search(
    query_ids: Sequence[str],
    queries: np.ndarray,
    ids: Sequence[str],
    vectors: np.ndarray,
    *,
    k: int = 10,
    leave_out_query: bool = True,
) -> list[list[Match]]:
    """Find the `k` most similar items of each query, exactly: every query is compared with every vector.

    A vector of zeros has the score 0 with all others.

    Args:
        query_ids: Q ids.
        queries: (Q, D), of any float dtype.
        ids: N ids.
        vectors: (N, D).
        k: matches of each query; fewer where there are not that many items.
        leave_out_query: a query's own id is no match of it, as where `ids` are of the store that it comes from.

    Returns:
        For each query its matches, the best first, those of one score in the order of `ids`.

    Raises:
        ValueError: `k` is below 1, the widths D differ, or vectors hold NaN or infinity.
    """
    if k < 1:
        raise ValueError(f"{k} matches wanted, expected at least 1")
    if queries.shape[1] != vectors.shape[1]:
        raise ValueError(
            f"vectors of the queries have {queries.shape[1]} numbers and those of the store {vectors.shape[1]}: they "
            "are of different models and cannot be compared"
        )
    directions = _normalized(ids, vectors)
    query_directions = _normalized(query_ids, queries)
    found = []
    for start in range(0, len(query_ids), _BLOCK):
        scores = query_directions[start : start + _BLOCK] @ directions.T  # (up to 256, N)
        for query, row in zip(query_ids[start : start + _BLOCK], scores, strict=True):
            best = np.argsort(-row, kind="stable")[: k + leave_out_query]
            matches = [Match(ids[i], float(row[i])) for i in best if not (leave_out_query and ids[i] == query)]
            found.append(matches[:k])
    return found


def format_matches(query_ids: Sequence[str], found: Sequence[Sequence[Match]]) -> str:
    """A line for each match: query, place from 1, score and id, with tabs between them."""
    return "\n".join(
        f"{printable(query)}\t{place}\t{match.score:.6f}\t{printable(match.id)}"
        for query, matches in zip(query_ids, found, strict=True)
        for place, match in enumerate(matches, 1)
    )


def _normalized(ids: Sequence[str], vectors: np.ndarray) -> np.ndarray:
    """(N, D) float32 of length 1, or 0 where it was 0."""
    check_finite(ids, vectors)
    wide = vectors.astype(np.float32)
    largest = np.abs(wide).max(axis=1, keepdims=True, initial=0)  # (N, 1); squares of small numbers would vanish
    wide /= np.where(largest > 0, largest, 1)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    wide /= np.where(lengths > 0, lengths, 1)
    return wide
