from __future__ import annotations

import contextlib
import io
import json
import math

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from hiera_det.coco.evaluator import CocoEvaluator
from hiera_det.coco.reader import read_annotations
from hiera_det.coco.results import to_coco_results
from hiera_det.coco.tables import metrics_table
from hiera_det.data.catalog import DatasetFiles

NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl")
SQUARE = [2.0, 1.0, 38.0, 1.0, 38.0, 37.0, 2.0, 37.0]
LINE = [2.0, 1.0, 38.0, 1.0]


@pytest.fixture
def files(shared_data):
    coco = shared_data / "coco"
    return DatasetFiles("coco", coco / "annotations/instances_val2017.json", coco / "val2017")


@pytest.fixture
def truth(files):
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(files.json_file))


def _detections(truth, image_id, label_of, *, crowds=False, shift=0.0, scores=None):
    """The ground truth of an image as detections, moved by ``shift`` pixels; masks are moved by whole pixels."""
    annotations = [a for a in truth.imgToAnns[image_id] if crowds or not a["iscrowd"]]
    boxes = torch.tensor([a["bbox"] for a in annotations]).reshape(-1, 4)
    boxes = torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], dim=1) + shift
    image = truth.imgs[image_id]
    masks = np.zeros((len(annotations), image["height"], image["width"]), bool)
    for index, annotation in enumerate(annotations):
        masks[index] = np.roll(truth.annToMask(annotation), round(shift), axis=1)
    return {
        "boxes": boxes,
        "labels": torch.tensor([label_of[a["category_id"]] for a in annotations], dtype=torch.int64),
        "scores": torch.linspace(1, 0.5, len(annotations)) if scores is None else scores(len(annotations)),
        "masks": torch.from_numpy(masks),
    }


def _filled(files, truth, iou_types=("bbox", "segm"), extra=(), **options):
    category_ids = sorted(truth.getCatIds())
    label_of = {category_id: label for label, category_id in enumerate(category_ids, start=1)}
    evaluator = CocoEvaluator(read_annotations(files.json_file, mask_format="bitmask"), iou_types, extra=extra)
    for image_id in truth.imgs:
        evaluator.update(image_id, _detections(truth, image_id, label_of, **options))
    return evaluator


def _defined(values):
    return {name: value for name, value in values.items() if not math.isnan(value)}


@pytest.mark.parametrize("crowds", [False, True])
def test_ground_truth_scores_100(files, truth, crowds):
    # Crowd regions as detections match crowd regions, which are ignored: they cost nothing.
    metrics = _filled(files, truth, crowds=crowds).evaluate()
    assert set(metrics) == {"bbox", "segm"}
    for values in metrics.values():
        assert all(value == pytest.approx(100) for value in _defined(values).values())
        assert set(NAMES) <= set(_defined(values))


def _direct(truth, results, iou_type):
    """AP by pycocotools alone, from its own result files' conventions."""
    results = [{k: v for k, v in r.items() if not (iou_type == "segm" and k == "bbox")} for r in results]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, truth.loadRes(results), iou_type)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_shifted_detections_equal_pycocotools(files, truth, iou_type):
    generator = torch.Generator().manual_seed(0)
    evaluator = _filled(files, truth, shift=4.0, scores=lambda n: torch.rand(n, generator=generator))
    metrics = evaluator.evaluate()[iou_type]
    results = []
    for image_id in truth.imgs:
        mine = [r for r in evaluator.results if r["image_id"] == image_id]
        originals = [a for a in truth.imgToAnns[image_id] if not a["iscrowd"]]
        for found, annotation in zip(mine, originals, strict=True):
            x, y, width, height = annotation["bbox"]
            mask = np.asfortranarray(np.roll(truth.annToMask(annotation), 4, axis=1))
            results.append(
                {
                    "image_id": image_id,
                    "category_id": annotation["category_id"],
                    "score": found["score"],
                    "bbox": [x + 4, y + 4, width, height],
                    "segmentation": mask_util.encode(mask),
                }
            )
    expected = _direct(truth, results, iou_type)
    assert [metrics[name] for name in NAMES] == pytest.approx(100 * expected.stats[:6], abs=0.02)
    assert 20 < metrics["AP"] < 90
    precision = expected.eval["precision"][:, :, 0, 0, 2]  # person
    assert metrics["AP-person"] == pytest.approx(100 * precision.mean(), abs=0.02)


def _one(label=1, **more):
    box = torch.tensor([[2.0, 1.0, 38.0, 37.0]])
    return {"boxes": box, "scores": torch.tensor([0.75]), "labels": torch.tensor([label])} | more


def test_missing_iscrowd_and_area_are_filled_in(tiny):
    evaluator = tiny()
    evaluator.update(4, _one())
    values = evaluator.evaluate()["bbox"]
    assert values["AP"] == values["APm"] == values["AP-boat"] == pytest.approx(100)  # 36 * 36 is above 32 * 32
    assert all(math.isnan(values[name]) for name in ("APs", "APl", "AP-kite"))


def test_mask_size_classes_go_by_mask_area(tiny):
    # A false mask of small area in a box of medium area counts against the small ones.
    square = [[2.0, 1.0, 22.0, 1.0, 22.0, 21.0, 2.0, 21.0]]
    annotation = {"id": 1, "image_id": 4, "category_id": 8, "bbox": [2, 1, 20, 20], "segmentation": square}
    evaluator = tiny(("segm",), annotations=[annotation])
    masks = torch.zeros(2, 40, 60, dtype=torch.bool)
    masks[0, torch.arange(40), torch.arange(40)] = True
    masks[1, 1:21, 2:22] = True
    boxes = torch.tensor([[0.0, 0.0, 40.0, 40.0], [2.0, 1.0, 22.0, 21.0]])
    found = {"boxes": boxes, "scores": torch.tensor([0.9, 0.5]), "labels": torch.tensor([1, 1]), "masks": masks}
    evaluator.update(4, found)
    assert evaluator.evaluate()["segm"]["APs"] == pytest.approx(50)


def test_no_detections(tiny, caplog):
    values = tiny().evaluate()["bbox"]
    assert values["AP"] == values["AP50"] == values["APm"] == values["AP-boat"] == 0
    assert "no detections" in caplog.text


def test_results_and_file(tiny, tmp_path):
    annotation = {"id": 1, "image_id": 4, "category_id": 8, "bbox": [2, 1, 36, 36], "segmentation": [SQUARE]}
    evaluator = tiny(("bbox", "segm"), annotations=[annotation])
    mask = torch.zeros(1, 40, 60, dtype=torch.bool)
    mask[0, 1:37, 2:38] = True
    evaluator.update(4, _one(masks=mask))
    (result,) = evaluator.results
    assert {key: result[key] for key in ("image_id", "category_id", "bbox", "score")} == {
        "image_id": 4,
        "category_id": 8,
        "bbox": [2, 1, 36, 36],
        "score": 0.75,
    }
    np.testing.assert_array_equal(mask_util.decode(result["segmentation"]), mask[0].numpy())
    assert evaluator.evaluate()["segm"]["AP"] == pytest.approx(100)
    evaluator.write(tmp_path / "new" / "results.json")
    assert json.loads((tmp_path / "new" / "results.json").read_text()) == evaluator.results
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["results.json"]


def test_image_without_detections(tiny):
    annotation = {"id": 1, "image_id": 4, "category_id": 8, "bbox": [2, 1, 36, 36], "segmentation": [SQUARE]}
    evaluator = tiny(("bbox", "segm"), annotations=[annotation])
    empty = {"boxes": torch.zeros(0, 4), "scores": torch.zeros(0), "labels": torch.zeros(0, dtype=torch.int64)}
    evaluator.update(4, empty | {"masks": torch.zeros(0, 40, 60, dtype=torch.bool)})
    assert evaluator.results == []
    assert evaluator.evaluate()["segm"]["AP"] == 0


@pytest.mark.parametrize(
    ("image_id", "detections", "message"),
    [
        (5, _one(), "image 5 is not in"),
        (4, _one(label=0), r"labels \[0\] of image 4, expected 1..2"),
        (4, _one(label=3), r"labels \[3\] of image 4, expected 1..2"),
    ],
)
def test_wrong_detections(tiny, image_id, detections, message):
    with pytest.raises(ValueError, match=message):
        tiny().update(image_id, detections)


def test_masks_must_be_there_and_of_the_image_s_size(tiny):
    annotation = {"id": 1, "image_id": 4, "category_id": 8, "bbox": [2, 1, 36, 36], "segmentation": [SQUARE]}
    evaluator = tiny(("segm",), annotations=[annotation])
    with pytest.raises(ValueError, match="image 4 have no masks"):
        evaluator.update(4, _one())
    with pytest.raises(ValueError, match=r"\(1, 60, 40\), expected \(1, 40, 60\)"):
        evaluator.update(4, _one(masks=torch.zeros(1, 60, 40)))


def _masks(*segmentations):
    """The annotations of one JSON, all of the same box."""
    return {
        "annotations": [
            {"id": i, "image_id": 4, "category_id": 8, "bbox": [2, 1, 36, 36], "segmentation": segmentation}
            for i, segmentation in enumerate(segmentations, start=1)
        ]
    }


def test_instances_without_a_mask_are_left_out_as_in_training(tiny):
    evaluator = tiny(("bbox", "segm"), **_masks([], [LINE], [LINE, SQUARE]))
    assert "2 instances without a polygon of at least 3 points, left out" in evaluator.annotations.notes
    mask = torch.zeros(1, 40, 60, dtype=torch.bool)
    mask[0, 1:37, 2:38] = True
    evaluator.update(4, _one(masks=mask))
    metrics = evaluator.evaluate()
    assert metrics["bbox"]["AP"] == metrics["segm"]["AP"] == pytest.approx(100)


@pytest.mark.parametrize("segmentation", [[], None, [LINE]])
def test_boxes_alone_need_no_masks(tiny, segmentation):
    evaluator = tiny(("bbox",), **_masks(segmentation))
    evaluator.update(4, _one())
    assert evaluator.evaluate()["bbox"]["APm"] == pytest.approx(100)


@pytest.mark.parametrize(
    ("iou_types", "changes", "message"),
    [
        (("bbox",), {"annotations": None}, "no 'annotations', expected a list; a test set"),
        (("segm",), {}, "annotation 1: field 'segmentation' is missing.*MODEL.MASK_ON False"),
        (("segm",), _masks(None), "annotation 1: field 'segmentation' is None.*MODEL.MASK_ON False"),
        (("segm",), _masks([["x"] * 6]), "annotation 1: field 'segmentation' is not a list of polygons"),
        (("segm",), _masks({"size": [60, 40], "counts": [2400]}), "annotation 1: RLE 'size' is"),
        (("segm",), _masks([], [LINE]), "none of the 2 instances has a mask.*MODEL.MASK_ON False"),
    ],
)
def test_wrong_truth(tiny, iou_types, changes, message):
    with pytest.raises(ValueError, match=rf"tiny\.json.*{message}"):
        tiny(iou_types, **changes)


def test_table(tiny):
    evaluator = tiny()
    evaluator.update(4, _one())
    lines = metrics_table(evaluator.evaluate()).splitlines()
    assert lines[0].split() == ["AP", "AP50", "AP75", "APs", "APm", "APl"]
    assert lines[1].split() == ["bbox", "100.00", "100.00", "100.00", "nan", "100.00", "nan"]
    assert [line.split() for line in lines[3:]] == [
        ["AP", "by", "category", "bbox"],
        ["boat", "100.00"],
        ["kite", "nan"],
    ]


def test_results_are_in_coco_format():
    found = {
        "boxes": torch.tensor([[1.0, 2.0, 4.0, 8.0]]),
        "scores": torch.tensor([0.5]),
        "masks": torch.zeros(1, 10, 10, dtype=torch.bool),
    }
    found["masks"][0, 2:8, 1:4] = True
    (result,) = to_coco_results(3, found, [20])
    assert (result["category_id"], result["bbox"], result["score"]) == (20, [1, 2, 3, 6], 0.5)
    assert mask_util.area(result["segmentation"]) == 18
    assert found["boxes"].tolist() == [[1, 2, 4, 8]]  # left as it was


def _pairs(evaluation):
    """Pycocotools' twelve numbers in percent."""
    names = (*NAMES, "AR@1", "AR@10", "AR@100", "ARs", "ARm", "ARl")
    return dict(zip(names, (100 * value if value >= 0 else math.nan for value in evaluation.stats), strict=True))


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_the_twelve_numbers_are_those_of_pycocotools(files, truth, iou_type):
    generator = torch.Generator().manual_seed(3)
    evaluator = _filled(files, truth, shift=3.0, scores=lambda n: torch.rand(n, generator=generator), extra=("AR",))
    metrics = evaluator.evaluate()[iou_type]
    expected = _pairs(_direct(truth, evaluator.results, iou_type))
    assert {name: metrics[name] for name in expected} == pytest.approx(expected, abs=1e-6, nan_ok=True)
    assert 20 < metrics["AR@1"] < metrics["AR@100"] < 90


def test_recall_by_class(files, truth):
    generator = torch.Generator().manual_seed(3)
    shifted = {"shift": 3.0, "scores": lambda n: torch.rand(n, generator=generator)}
    evaluator = _filled(files, truth, ("bbox",), extra=("AR", "AR-by-class"), **shifted)
    metrics = evaluator.evaluate()["bbox"]
    of_classes = [value for name, value in metrics.items() if name.startswith("AR-")]
    assert len(of_classes) == 80
    assert np.nanmean(of_classes) == pytest.approx(metrics["AR@100"])


@pytest.mark.parametrize("first", [0, 1, "a"])
def test_ids_of_annotations_have_no_meaning(files, tmp_path, first):
    """COCOeval takes a match with id 0 for none."""
    content = json.loads(files.json_file.read_text())
    for number, annotation in enumerate(content["annotations"]):
        annotation["id"] = f"{first}{number}" if isinstance(first, str) else first + number
    del content["info"]
    (tmp_path / "other.json").write_text(json.dumps(content))
    other = DatasetFiles("other", tmp_path / "other.json", files.image_root)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(other.json_file))
    for values in _filled(other, truth).evaluate().values():
        assert values["AP"] == values["AP75"] == pytest.approx(100)


def _crowded(tiny, count, **options):
    """As many boats in an image, found all."""
    boxes = [[x % 30 * 2, x // 30 * 2, 1.5, 1.5] for x in range(count)]
    annotations = [{"id": i, "image_id": 4, "category_id": 8, "bbox": box} for i, box in enumerate(boxes)]
    evaluator = tiny(options=options, annotations=annotations)
    xyxy = torch.tensor([[x, y, x + w, y + h] for x, y, w, h in boxes])
    found = {"boxes": xyxy, "scores": torch.linspace(1, 0.5, count), "labels": torch.ones(count, dtype=torch.int64)}
    evaluator.update(4, found)
    return evaluator.evaluate()["bbox"]


def test_more_than_a_hundred_objects(tiny):
    values = _crowded(tiny, 300, max_detections=500)
    assert values["AP"] == pytest.approx(33.66, abs=0.01)  # COCO's: of the 300 a hundred count
    assert values["AP@500"] == pytest.approx(100)
    assert "AP@100" not in _crowded(tiny, 5, max_detections=100)


def test_classes_of_the_same_name_are_kept_apart(tiny):
    annotations = [
        {"id": i, "image_id": 4, "category_id": number, "bbox": [2, 1, 36, 36]} for i, number in enumerate((8, 9))
    ]
    same = [{"id": 8, "name": "boat"}, {"id": 9, "name": "boat"}]
    evaluator = tiny(annotations=annotations, categories=same)
    evaluator.update(4, _one(label=2))
    values = evaluator.evaluate()["bbox"]
    assert (values["AP-boat (id 8)"], values["AP-boat (id 9)"]) == (0, pytest.approx(100))
    assert "AP-boat" not in values
    assert "boat (id 9)" in metrics_table({"bbox": values})


@pytest.mark.parametrize(
    ("area", "size"),
    [(None, "m"), ("big", "m"), (-3, "m"), (math.nan, "m"), (5000, "m"), (10_000, "l"), (0, "s")],
)
def test_areas_of_the_file_count_and_others_are_computed(tiny, area, size):
    annotation = {"id": 1, "image_id": 4, "category_id": 8, "bbox": [2, 1, 36, 36], "area": area}
    evaluator = tiny(annotations=[annotation])
    evaluator.update(4, _one())
    values = evaluator.evaluate()["bbox"]
    assert {name: not math.isnan(values[f"AP{name}"]) for name in "sml"} == {name: name == size for name in "sml"}


def test_a_missing_area_is_that_of_the_mask(tiny):
    small = [[2.0, 1.0, 12.0, 1.0, 12.0, 11.0, 2.0, 11.0]]
    annotation = {"id": 1, "image_id": 4, "category_id": 8, "bbox": [2, 1, 36, 36], "segmentation": small}
    masks = torch.zeros(1, 40, 60, dtype=torch.bool)
    evaluator = tiny(("bbox", "segm"), annotations=[annotation])
    evaluator.update(4, _one(masks=masks))
    assert evaluator.evaluate()["bbox"]["APs"] == pytest.approx(100)


def test_boundary_ap_asks_more_than_mask_ap(files, truth):
    evaluator = _filled(files, truth, shift=2.0, extra=("boundary",))
    metrics = evaluator.evaluate()
    assert set(metrics) == {"bbox", "segm", "boundary"}
    assert 1 < metrics["boundary"]["AP"] < metrics["segm"]["AP"] - 1
    perfect = _filled(files, truth, extra=("boundary",)).evaluate()["boundary"]
    assert perfect["AP"] == pytest.approx(100)


@pytest.mark.parametrize(
    ("options", "iou_types", "message"),
    [
        ({"extra": ("AP",)}, ("bbox",), "TEST.METRICS names AP; expected some of AR, AR-by-class, boundary, LVIS"),
        ({"extra": ("boundary",)}, ("bbox",), "but MODEL.MASK_ON is False"),
        ({"extra": ("LVIS",)}, ("bbox",), r"LVIS, but .*tiny\.json lacks its fields"),
    ],
)
def test_metrics_that_cannot_be_computed(tiny, options, iou_types, message):
    with pytest.raises(ValueError, match=message):
        tiny(iou_types, options)


def test_a_crowd_without_a_mask_still_ignores_boxes(tiny):
    """As COCO's box AP has it: what lies in a crowd is no mistake."""
    annotations = [
        {"id": 1, "image_id": 4, "category_id": 8, "bbox": [2, 1, 36, 36], "segmentation": [SQUARE]},
        {"id": 2, "image_id": 4, "category_id": 8, "bbox": [40, 0, 20, 40], "segmentation": [], "iscrowd": 1},
    ]
    evaluator = tiny(("bbox", "segm"), annotations=annotations)
    masks = torch.zeros(2, 40, 60, dtype=torch.bool)
    masks[0, 5:9, 45:50], masks[1, 1:37, 2:38] = True, True
    boxes = torch.tensor([[45.0, 5.0, 50.0, 9.0], [2.0, 1.0, 38.0, 37.0]])
    found = {"boxes": boxes, "scores": torch.tensor([0.9, 0.8]), "labels": torch.tensor([1, 1]), "masks": masks}
    evaluator.update(4, found)
    metrics = evaluator.evaluate()
    assert metrics["bbox"]["AP"] == pytest.approx(100)
    assert metrics["segm"]["AP"] == pytest.approx(50)
