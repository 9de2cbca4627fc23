from __future__ import annotations

import numpy as np
import pytest

from hiera_det.features.analysis.vectors import check_finite, name_some, rows_of


def test_rows_in_the_order_of_what_is_wanted():
    assert rows_of(["c", "a"], ["a", "b", "c"]).tolist() == [2, 0]
    assert rows_of([], ["a"]).tolist() == []


def test_unknown_ids_are_counted_and_named():
    with pytest.raises(
        ValueError, match=r"2 of 3 ids are not among the 2 of the store: 'cat/1\.png', 'x'.*'cat/1\.jpg'"
    ):
        rows_of(["cat/1.png", "dog/1.jpg", "x"], ["dog/1.jpg", "cat/1.jpg"])


def test_an_unknown_id_that_is_like_none_is_answered_with_the_first_of_the_store():
    with pytest.raises(ValueError, match="such as 'a', 'b'"):
        rows_of(["0123456789"], ["a", "b"])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_vectors_that_are_not_finite_are_named(value):
    vectors = np.zeros((3, 2), np.float16)
    check_finite(["a", "b", "c"], vectors)
    vectors[1, 1] = value
    with pytest.raises(ValueError, match="1 of 3 vectors hold NaN or infinity: 'b';"):
        check_finite(["a", "b", "c"], vectors)


def test_a_long_list_is_cut():
    assert name_some("abcde") == "'a', 'b', 'c', 'd', 'e'"
    assert name_some("abcdef") == "'a', 'b', 'c', 'd', 'e', …"
