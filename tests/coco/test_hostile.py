"""Whatever stands in a field: an error that names the file, or annotations that all C code takes."""

from __future__ import annotations

import copy
import json
import math
import random

import pytest
import torch

from hiera_det.coco.evaluator import CocoEvaluator
from hiera_det.coco.examination import Given, examine_datasets
from hiera_det.coco.json_file import AnnotationError
from hiera_det.coco.reader import read_annotations
from hiera_det.coco.results import DecodedMasks
from hiera_det.data.findings import Findings
from hiera_det.detection.data.targets import make_sample, make_target

NUMBERS = [0, -1, 1, 2**31, 2**63, -(2**63), 10**400, 1e9, -1e9, 1e308, math.nan, math.inf, 0.5, "1", "x", "", "1e400"]
SHAPES = [
    None,
    True,
    False,
    [],
    {},
    [[]],
    [[[]]],
    [{}],
    {"size": [40, 60]},
    {"counts": []},
    "\ud800",
    "a\0b",
    "../../x",
]
MASKS = [
    {"size": [40, 60], "counts": counts}
    for counts in (
        [2400],
        [0, 2400],
        [-1, 2401],
        [1.5],
        "0",
        "_jT1",
        "P" * 500,
        "b'12'",
        "\\\\\\\\",
        "o" * 50,
        [],
        [2**40],
    )
] + [[[1e9, 1e9, -1e9, 1e9, 0, -1e9]], [[0, 0, 1, 1]], [[5] * 6], [[1, 2, 3, 4, 5]], [1, 2, 3, 4, 5, 6], [[1, 2]] * 4]
VALUES = [*NUMBERS, *SHAPES, *MASKS]


def _places(value, path=()):
    """Every path into nested lists and dicts."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from _places(inner, (*path, key))


def _spoilt(content, draw):
    content = copy.deepcopy(content)
    for _ in range(draw.choice([1, 1, 2, 4])):
        *path, last = draw.choice(list(_places(content)))
        parent = content
        for key in path:
            parent = parent[key]
        if draw.random() < 0.1 and isinstance(parent, dict):
            del parent[last]
        else:
            parent[last] = copy.deepcopy(draw.choice(VALUES))
    return content


def _use(annotations):
    """All that a run does with them."""
    evaluator = CocoEvaluator(annotations)
    for record in annotations.records:
        if record.height * record.width > 10**6:
            continue  # a size that the examination of the files refuses
        masks = DecodedMasks([it.segmentation for it in record.instances], record.height, record.width)
        for mask in masks:
            assert mask.shape == (record.height, record.width)
        trained = record.for_training()
        size = (record.height, record.width)
        make_target(trained, make_sample(trained), size, mask_format="bitmask", recompute_boxes=True)
        box = torch.tensor([[0.0, 0.0, 5.0, 5.0]])
        found = {"boxes": box, "scores": torch.ones(1), "labels": torch.ones(1, dtype=torch.int64)}
        evaluator.update(record.image_id, {**found, "masks": torch.ones(1, *size, dtype=torch.bool)})
    for values in evaluator.evaluate().values():
        assert math.isnan(values["AP"]) or 0 <= values["AP"] <= 100


@pytest.mark.parametrize("seed", range(8))
def test_any_value_anywhere(write, content, seed):
    files = write(content)
    draw = random.Random(seed)
    read = 0
    for _ in range(60):
        files.json_file.write_text(json.dumps(_spoilt(content, draw)))
        for mask_format in ("bitmask", "polygon", None):
            try:
                annotations = read_annotations(files.json_file, mask_format=mask_format)
            except ValueError as error:
                assert str(files.json_file) in str(error)
                assert len(str(error)) < 5000
                annotations = error.annotations if isinstance(error, AnnotationError) else None
            if annotations is not None:
                read += 1
                if mask_format == "bitmask":
                    _use(annotations)
        examine_datasets({"TEST": Given(files, "bitmask")}, Findings())
    assert read > 20
