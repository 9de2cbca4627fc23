from __future__ import annotations

import pytest

from hiera_det.data.class_names import distinct_names


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a", "b"], ["a", "b"]),
        (["a", "b", "a"], ["a (id 1)", "b", "a (id 3)"]),
        (["a", "a (id 1)", "a"], ["a (id 1) (id 1)", "a (id 1) (id 2)", "a (id 3)"]),
    ],
)
def test_names_that_can_be_keys(names, expected):
    assert distinct_names(names, [1, 2, 3][: len(names)]) == expected
