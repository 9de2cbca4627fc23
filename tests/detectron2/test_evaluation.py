"""Both backends' evaluators on real annotations, crowds among them."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
import torch

pytest.importorskip(
    "detectron2",
    reason="needs detectron2: https://detectron2.readthedocs.io/en/latest/tutorials/install.html",
)
from detectron2.data.datasets import register_coco_instances
from detectron2.evaluation import COCOEvaluator
from detectron2.structures import Boxes, Instances
from pycocotools.coco import COCO

from hiera_det.coco.evaluator import CocoEvaluator
from hiera_det.coco.reader import read_annotations
from hiera_det.data.catalog import DatasetFiles


def test_the_same_figures(shared_data, tmp_path):
    coco = shared_data / "coco"
    files = DatasetFiles("val_here", coco / "annotations" / "instances_val2017.json", coco / "val2017")
    name = files.name
    register_coco_instances(name, {}, str(files.json_file), str(files.image_root))
    from detectron2.data import DatasetCatalog

    entries = DatasetCatalog.get(name)
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = COCOEvaluator(name, output_dir=str(tmp_path))
        truth = COCO(str(files.json_file))
    theirs.reset()
    ours = CocoEvaluator(read_annotations(files.json_file, mask_format="bitmask"))
    draw = np.random.default_rng(0)
    for entry in entries:
        detections = _detections(truth, entry, draw)
        ours.update(entry["image_id"], detections)
        instances = Instances((entry["height"], entry["width"]), pred_boxes=Boxes(detections["boxes"]))
        instances.scores, instances.pred_classes = detections["scores"], detections["labels"] - 1
        instances.pred_masks = detections["masks"]
        theirs.process([entry], [{"instances": instances}])
    found, expected = ours.evaluate(), theirs.evaluate()
    for kind in ("bbox", "segm"):
        assert found[kind].keys() == expected[kind].keys()
        for key, value in expected[kind].items():
            assert found[kind][key] == pytest.approx(value, abs=1e-4, nan_ok=True), (kind, key)
    assert 5 < found["bbox"]["AP"] < 80 and 5 < found["segm"]["AP"] < 80


def _detections(truth, entry, draw):
    """The annotations, moved, some under a wrong class, and some missing."""
    annotations = [a for a in truth.loadAnns(truth.getAnnIds(imgIds=[entry["image_id"]])) if draw.random() < 0.8]
    ids = sorted(truth.getCatIds())
    labels = [ids.index(a["category_id"]) + 1 if draw.random() < 0.8 else draw.integers(1, 81) for a in annotations]
    boxes = np.array([a["bbox"] for a in annotations], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    boxes += draw.uniform(-4, 4, boxes.shape).astype(np.float32)
    masks = [np.roll(truth.annToMask(a), draw.integers(-2, 3), axis=1) for a in annotations]
    empty = np.zeros((0, entry["height"], entry["width"]), np.uint8)
    return {
        "boxes": torch.from_numpy(boxes),
        "scores": torch.from_numpy(draw.random(len(boxes)).astype(np.float32)),
        "labels": torch.tensor(labels, dtype=torch.int64),
        "masks": torch.from_numpy(np.stack(masks) if masks else empty).bool(),
    }
