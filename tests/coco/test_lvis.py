"""LVIS' rules in the evaluator."""

from __future__ import annotations

import math

import pytest
import torch

from hiera_det.coco.records import Instance


def _lvis(tiny, **image):
    """A rare boat that is found, and a kite that is found but not annotated."""
    fields = {"neg_category_ids": [], "not_exhaustive_category_ids": []} | image
    return tiny(
        options={"extra": ("LVIS",)},
        images=[{"id": 4, "coco_url": "http://x/val2017/a.png", "height": 40, "width": 60, **fields}],
        categories=[
            {"id": 8, "name": "boat", "frequency": "r"},
            {"id": 9, "name": "kite", "frequency": "f"},
        ],
    )


@pytest.mark.parametrize(
    ("image", "annotated", "ap"),
    [
        ({}, False, (100, 100, None)),  # whether there is a kite nobody has looked: it does not count
        ({"neg_category_ids": [9]}, False, (100, 100, None)),  # no kite: without one it has no AP
        ({}, True, (75, 100, 50)),  # the false kite has the higher score
        ({"not_exhaustive_category_ids": [9]}, True, (100, 100, 100)),  # there may be more of them
    ],
)
def test_lvis_rules(tiny, image, annotated, ap):
    """Source: Gupta et al., LVIS, arXiv 1908.03195, section 3.3."""
    evaluator = _lvis(tiny, **image)
    if annotated:
        evaluator.annotations.records[0].instances.append(Instance(2, (50, 1, 58, 9), (50, 1, 8, 8)))
    boxes = torch.tensor([[2.0, 1.0, 38.0, 37.0], [5.0, 5.0, 15.0, 15.0], [50.0, 1.0, 58.0, 9.0]])
    labels = torch.tensor([1, 2, 2])
    found = {"boxes": boxes, "scores": torch.tensor([0.9, 0.8, 0.7]), "labels": labels}
    evaluator.update(4, found if annotated else {name: value[:2] for name, value in found.items()})
    values = evaluator.evaluate()["bbox"]
    expected = [math.nan if value is None else value for value in ap]
    assert [values[name] for name in ("AP", "APr", "APf")] == pytest.approx(expected, nan_ok=True, abs=0.5)
    assert math.isnan(values["APc"])


@pytest.mark.parametrize("ids", [[9.0], ["9"]])
def test_lvis_ids_of_other_types(tiny, ids):
    evaluator = _lvis(tiny, neg_category_ids=ids)
    assert evaluator.annotations.image_extras == {4: {"neg_category_ids": [9], "not_exhaustive_category_ids": []}}
    assert "AP@1000" not in _lvis(tiny).evaluate()["bbox"]


def test_lvis_needs_its_fields_in_every_image(tiny):
    with pytest.raises(ValueError, match=r"'not_exhaustive_category_ids', which 0 of 1 have"):
        _lvis(tiny, neg_category_ids=None)
