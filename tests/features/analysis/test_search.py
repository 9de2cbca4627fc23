from __future__ import annotations

import numpy as np
import pytest

from hiera_det.features.analysis import search as module
from hiera_det.features.analysis.search import Match, search


def at(*degrees: float) -> np.ndarray:
    """Vectors in these directions, in the first two of 8 dimensions, each of another length."""
    angles = np.deg2rad(degrees)
    vectors = np.zeros((len(degrees), 8))
    vectors[:, 0], vectors[:, 1] = np.cos(angles), np.sin(angles)
    return vectors * np.arange(1, len(degrees) + 1)[:, None]


def test_planted_neighbours_come_in_their_order():
    ids = [f"far{i}" for i in range(500)]
    vectors = np.random.default_rng(0).normal(size=(500, 8))
    vectors[:, :2] = -np.abs(vectors[:, :2])  # all on the other side
    planted = {"near30": 30, "near10": 10, "near20": 20, "opposite": 180}
    ids = ["q", *ids[:250], *planted, *ids[250:]]
    vectors = np.concatenate([at(0), vectors[:250], at(*planted.values()), vectors[250:]])
    (matches,) = search(["q"], vectors[:1], ids, vectors, k=3)
    assert [match.id for match in matches] == ["near10", "near20", "near30"]
    assert [match.score for match in matches] == pytest.approx(np.cos(np.deg2rad([10, 20, 30])), abs=1e-6)
    (all_of_them,) = search(["q"], vectors[:1], ids, vectors, k=1000)
    assert len(all_of_them) == 504
    assert all_of_them[-1] == Match("opposite", pytest.approx(-1))


def test_the_query_itself_is_left_out_only_where_asked():
    ids, vectors = ["a", "b", "c"], at(0, 0, 5)
    (matches,) = search(["b"], vectors[1:2], ids, vectors, k=2)
    assert [match.id for match in matches] == ["a", "c"]  # a duplicate of it stays
    (matches,) = search(["b"], vectors[1:2], ids, vectors, k=2, leave_out_query=False)
    assert [match.id for match in matches] == ["a", "b"]  # of one score: in the order of the store


def test_items_of_one_score_come_in_the_order_of_the_store():
    ids = [str(i) for i in range(300)]
    vectors = np.tile(np.eye(3, 8), (100, 1))
    (matches,) = search(["0"], vectors[:1], ids, vectors, k=300)
    assert [match.id for match in matches] == [*ids[3::3], *(name for i, name in enumerate(ids) if i % 3)]


def test_each_query_has_its_own_matches_also_over_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    ids, vectors = [str(i) for i in range(50)], rng.normal(size=(50, 8)).astype(np.float16)
    chosen = rng.permutation(50)[:7]
    names = [ids[i] for i in chosen]
    at_once = search(names, vectors[chosen], ids, vectors, k=4)
    for name, row, matches in zip(names, chosen, at_once, strict=True):
        wide = vectors.astype(float)
        cosines = wide @ wide[row] / np.linalg.norm(wide, axis=1) / np.linalg.norm(wide[row])
        expected = [ids[i] for i in np.argsort(-cosines) if ids[i] != name][:4]
        assert [match.id for match in matches] == expected
    monkeypatch.setattr(module, "_BLOCK", 3)
    in_blocks = search(names, vectors[chosen], ids, vectors, k=4)
    assert [[m.id for m in row] for row in in_blocks] == [[m.id for m in row] for row in at_once]


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_lengths_do_not_matter(scale):
    vectors = at(0, 80, 10).astype(np.float32) * np.float32(scale)
    (matches,) = search(["0"], vectors[:1], list("012"), vectors, k=2)
    assert [match.id for match in matches] == ["2", "1"]
    assert matches[0].score == pytest.approx(np.cos(np.deg2rad(10)), abs=1e-6)


def test_a_vector_of_zeros_is_like_none():
    vectors = at(0, 0, 180)
    vectors[1] = 0
    (matches,) = search(["a"], vectors[:1], list("abc"), vectors)
    assert matches == [Match("b", 0.0), Match("c", pytest.approx(-1))]


def test_input_at_fault():
    vectors = at(0, 10)
    with pytest.raises(ValueError, match="0 matches wanted, expected at least 1"):
        search(["a"], vectors[:1], ["a", "b"], vectors, k=0)
    with pytest.raises(ValueError, match="queries have 3 numbers and those of the store 8"):
        search(["a"], vectors[:1, :3], ["a", "b"], vectors)
    vectors[1, 0] = np.nan
    with pytest.raises(ValueError, match="1 of 2 vectors hold NaN or infinity: 'b'"):
        search(["a"], vectors[:1], ["a", "b"], vectors)
