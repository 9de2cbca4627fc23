from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hiera_det.data.datasets import DatasetFiles


@pytest.fixture
def content() -> dict[str, Any]:
    """A COCO JSON of two pictures, 40 x 60 and 50 x 30 (height x width), and categories out of order."""
    square = [[10.0, 10.0, 30.0, 10.0, 30.0, 30.0, 10.0, 30.0]]
    return {
        "images": [
            {"id": 7, "file_name": "b.png", "height": 50, "width": 30},
            {"id": 3, "file_name": "a.png", "height": 40, "width": 60},
        ],
        "annotations": [
            {"id": 1, "image_id": 3, "category_id": 90, "bbox": [10, 10, 20, 20], "segmentation": square},
            {"id": 2, "image_id": 3, "category_id": 5, "bbox": [40, 30, 8, 6], "iscrowd": 0}
            | {"segmentation": [[40.0, 30.0, 48.0, 30.0, 44.0, 36.0]]},
            {"id": 3, "image_id": 7, "category_id": 5, "bbox": [0, 0, 30, 50], "iscrowd": 1}
            | {"segmentation": {"size": [50, 30], "counts": [0, 1500]}},
        ],
        "categories": [{"id": 90, "name": "kite"}, {"id": 5, "name": "boat"}],
    }


@pytest.fixture
def write(tmp_path: Path):
    """Writes a COCO JSON and a random picture for each of its images."""

    def _write(content: Any) -> DatasetFiles:
        root = tmp_path / "images"
        root.mkdir(exist_ok=True)
        json_file = tmp_path / "instances.json"
        json_file.write_text(json.dumps(content))
        for image in content.get("images", []) if isinstance(content, dict) else []:
            rng = np.random.default_rng(image["id"])
            pixels = rng.integers(0, 256, (image["height"], image["width"], 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / image["file_name"])
        return DatasetFiles("tiny", json_file, root)

    return _write
