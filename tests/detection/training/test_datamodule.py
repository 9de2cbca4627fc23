"""What is said of a test set before training begins."""

from __future__ import annotations

import json

import pytest

from hiera_det.config import load_config
from hiera_det.detection.task import DetectionTask


@pytest.fixture
def own_data(datasets_root, tmp_path):
    """Flags for the shapes, their test set without masks from one annotation on: a function of what stands there."""

    def flags(segmentation, *, only_first: bool) -> list[str]:
        shapes = datasets_root / "shapes"
        content = json.loads((shapes / "annotations" / "instances_val.json").read_text())
        for annotation in content["annotations"][: 1 if only_first else None]:
            annotation["segmentation"] = segmentation
        (tmp_path / "val.json").write_text(json.dumps(content))
        files = [str(shapes / "annotations" / "instances_train.json"), str(tmp_path / "val.json")]
        return ["--dataset-json", *files, "--image-root", str(shapes / "train"), str(shapes / "val")]

    return flags


@pytest.mark.parametrize(
    ("segmentation", "only_first", "message"),
    [
        (None, True, r"val\.json: image \d+ \(\d+\.jpg\), annotation \d+: field 'segmentation' is None"),
        ([], False, r"val\.json: none of the \d+ instances has a mask; with MODEL\.MASK_ON False"),
    ],
)
def test_masks_that_cannot_be_evaluated_stop_the_run_before_training(run, own_data, segmentation, only_first, message):
    with pytest.raises(ValueError, match=message):
        run(*own_data(segmentation, only_first=only_first), "SOLVER.MAX_ITER", "1")
    assert run.losses == []


def test_a_test_instance_without_a_mask_is_left_out(run, own_data):
    run(*own_data([[1.0, 1.0, 2.0, 2.0]], only_first=True), "SOLVER.MAX_ITER", "1")
    assert "1 instances without a polygon of at least 3 points, left out" in run.log
    assert "segm/AP" in run.records[-1]


def test_boxes_alone_need_no_masks(run, own_data):
    run(*own_data(None, only_first=False), "SOLVER.MAX_ITER", "1", "MODEL.MASK_ON", "False")
    assert "bbox/AP" in run.records[-1]


def test_no_masks_are_made_for_test_images(config_file):
    _, target = DetectionTask(load_config(config_file)).test_dataset[0]
    assert not {"masks", "polygons"} & set(target)
