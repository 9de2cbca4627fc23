from __future__ import annotations

import json

import pytest

from hiera_det.utils.files import write_json


def test_nan_becomes_null_at_any_depth(tmp_path):
    path = tmp_path / "new" / "metrics.json"
    nan, inf = float("nan"), float("inf")
    write_json(
        path, {"dataset": "shapes", "AP": nan, "bbox": {"AP": 12.5, "APs": [nan, -inf], "by size": {"large": nan}}}
    )
    expected = {"dataset": "shapes", "AP": None, "bbox": {"AP": 12.5, "APs": [None, None], "by size": {"large": None}}}
    assert json.loads(path.read_text(), parse_constant=pytest.fail) == expected


def test_what_json_does_not_know_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "metrics.json"
    write_json(path, {"AP": 1.0})
    for content in ({"AP": {1, 2}}, {"AP": [object()]}):
        with pytest.raises(TypeError, match="not JSON serializable"):
            write_json(path, content)
    assert json.loads(path.read_text()) == {"AP": 1.0}
    assert list(tmp_path.iterdir()) == [path]
