from __future__ import annotations

import json

import pytest

from hiera_det.coco.evaluator import CocoEvaluator
from hiera_det.coco.reader import read_annotations


@pytest.fixture
def tiny(tmp_path):
    """One image, 40 x 60, with a medium square; two categories, the second without instances."""
    content = {
        "images": [{"id": 4, "file_name": "a.png", "height": 40, "width": 60}],
        "annotations": [{"id": 1, "image_id": 4, "category_id": 8, "bbox": [2, 1, 36, 36]}],
        "categories": [{"id": 8, "name": "boat"}, {"id": 9, "name": "kite"}],
    }
    path = tmp_path / "tiny.json"

    def _make(iou_types=("bbox",), options=None, **changes):
        path.write_text(json.dumps({k: v for k, v in (content | changes).items() if v is not None}))
        annotations = read_annotations(path, mask_format="bitmask" if "segm" in iou_types else None)
        return CocoEvaluator(annotations, iou_types, **(options or {}))

    return _make
