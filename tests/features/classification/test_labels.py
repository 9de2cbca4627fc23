from __future__ import annotations

import pytest

from hiera_det.features.classification.labels import labels_of


def test_published_labels():
    """The classes that the original's examples/inference.ipynb names for its image and its videos."""
    assert labels_of({}, 1000, "x", clips=False)[207] == "golden retriever"
    kinetics = labels_of({"id2label": {}}, 400, "x", clips=True)
    assert (kinetics[363], kinetics[125]) == ("training dog", "feeding goats")


@pytest.mark.parametrize(("num_classes", "clips"), [(3, False), (400, False), (1000, True)])
def test_numbers_where_the_classes_are_not_known(num_classes, clips):
    assert labels_of({}, num_classes, "x", clips=clips) == [str(i) for i in range(num_classes)]


def test_labels_of_a_config():
    assert labels_of({"id2label": {"1": "b", "0": "a"}}, 2, "x", clips=False) == ["a", "b"]
    for wrong in ({"0": "a"}, {"0": "a", "1": "b", "2": "c"}, {"0": "a", "2": "b"}, ["a", "b"]):
        with pytest.raises(ValueError, match=rf"config.json of x has {len(wrong)} entries; .* each of the 2 classes"):
            labels_of({"id2label": wrong}, 2, "x", clips=False)
    for wrong in (5, "cat", True):
        with pytest.raises(ValueError, match=rf"config.json of x is {wrong!r}; expected an object with"):
            labels_of({"id2label": wrong}, 2, "x", clips=False)
