"""Runs on detectron2, through tools/train_net.py and with detectron2's own trainer; checkpoints go both ways."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml

pytest.importorskip(
    "detectron2",
    reason="needs detectron2: https://detectron2.readthedocs.io/en/latest/tutorials/install.html",
)
from detectron2 import model_zoo
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from detectron2.engine import DefaultTrainer
from detectron2.utils.env import seed_all_rng

import hiera_det
import hiera_det.detectron2 as hiera
from hiera_det import build_hiera
from hiera_det.cli import evaluate

NO_TEST = ["DATASETS.TEST", "()"]


@pytest.fixture(scope="module")
def trained2(new_run, datasets_root):
    """Six iterations on detectron2, evaluated; nobody writes to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DETECTRON2_DATASETS", str(datasets_root))
        straight = new_run("detectron2")
        straight("VIS_PERIOD", "0")
    return straight


@pytest.mark.parametrize("name", ["quickstart", pytest.param("mask_rcnn_hiera_t", marks=pytest.mark.slow)])
def test_detectron2s_own_trainer_unchanged(configs, small, datasets_root, tmp_path, name):
    """What a user's own train_net.py does: the import, and a line for the keys; weights of the original's."""
    folder = datasets_root / "shapes"
    register_coco_instances("users", {}, str(folder / "annotations" / "instances_train.json"), str(folder / "train"))
    state = build_hiera("hiera_tiny_224", embed_dim=8, num_heads=1, stages=(1, 1, 1, 1)).state_dict()
    torch.save({"model_state": state}, tmp_path / "hiera.pth")
    cfg = get_cfg()
    hiera.add_hiera_config(cfg)
    cfg.merge_from_file(str(configs / f"{name}.yaml"))
    cfg.merge_from_list([word for pair in small.items() for word in pair])
    cfg.merge_from_list(["INPUT.CROP.ENABLED", False, "INPUT.MIN_SIZE_TRAIN", (64,), "DATALOADER.NUM_WORKERS", 0])
    cfg.merge_from_list(["DATASETS.TRAIN", ("users",), "DATASETS.TEST", (), "SOLVER.MAX_ITER", 2, "SOLVER.STEPS", ()])
    cfg.merge_from_list(["SOLVER.IMS_PER_BATCH", 2, "SOLVER.WARMUP_ITERS", 0, "SOLVER.AMP.ENABLED", False])
    cfg.merge_from_list(["SOLVER.BASE_LR", 0.01, "MODEL.ROI_HEADS.NUM_CLASSES", 4])
    cfg.merge_from_list(["MODEL.WEIGHTS", f"hiera://{tmp_path}/hiera.pth", "OUTPUT_DIR", str(tmp_path)])
    eighty = cfg.clone()
    eighty.MODEL.ROI_HEADS.NUM_CLASSES = 80
    seed_all_rng(1)  # detectron2's trainer draws all anew; by chance a gradient may be too small to move a weight
    try:
        trainer = DefaultTrainer(cfg)
        hiera.describe_checkpoints(trainer)
        with pytest.raises(ValueError, match=r"users has 4 categories, but MODEL\.ROI_HEADS\.NUM_CLASSES is 80"):
            hiera.describe_checkpoints(SimpleNamespace(cfg=eighty, checkpointer=trainer.checkpointer))
        trainer.resume_or_load(resume=False)
        before = {key: value.clone() for key, value in trainer.model.state_dict().items()}
        assert torch.equal(before["backbone.bottom_up.blocks.3.mlp.fc2.weight"], state["blocks.3.mlp.fc2.weight"])
        trainer.train()
    finally:
        DatasetCatalog.remove("users")
        MetadataCatalog.remove("users")
    after = torch.load(tmp_path / "model_final.pth", weights_only=True)["model"]
    assert all(not torch.equal(after[key], before[key]) for key in before if "bottom_up.blocks" in key)
    detector = hiera_det.load(tmp_path / "model_final.pth")
    assert detector.class_names == ["circle", "square", "triangle", "star"]
    assert detector.description.licence.startswith("not known") and detector.description.iteration == 1


def test_a_forgotten_add_hiera_config(configs):
    with pytest.raises(KeyError, match=r"Non-existent config key: MODEL\.HIERA"):  # detectron2's words; in the docs
        get_cfg().merge_from_file(str(configs / "quickstart.yaml"))


def test_a_run_leaves_what_detectron2s_do(trained2):
    left = {path.name for path in trained2.folder.iterdir()}
    assert {"model_0000002.pth", "model_final.pth", "last_checkpoint", "config.yaml", "metrics.json", "log.txt"} <= left
    assert "backend: detectron2" in trained2.log
    checkpoint = trained2.checkpoint()
    assert checkpoint["class_names"] == ["circle", "square", "triangle", "star"]
    assert checkpoint["category_ids"] == [1, 2, 3, 4]
    metrics = json.loads((trained2.folder / "inference" / "metrics.json").read_text())
    assert metrics["dataset"] == "shapes_val" and set(metrics) == {"dataset", "bbox", "segm"}


def test_resume_goes_on(trained2, new_run):
    run = new_run("detectron2")
    run("SOLVER.MAX_ITER", "3", *NO_TEST)
    run("--resume", "SOLVER.MAX_ITER", "6", *NO_TEST)
    log = run.log
    assert "Starting training from iteration 3" in log
    checkpoint = run.checkpoint()
    assert checkpoint["iteration"] == 5
    steps = {int(state["step"]) for state in checkpoint["trainer"]["_trainer"]["optimizer"]["state"].values()}
    assert steps == {6}


def test_resuming_into_another_model_is_refused(new_run):
    run = new_run("detectron2")
    run("SOLVER.MAX_ITER", "2", *NO_TEST)
    with pytest.raises(ValueError, match=r"(?s)model_final\.pth is of another model.*blocks\.0"):
        run("--resume", "MODEL.HIERA.EMBED_DIM", "16", *NO_TEST)
    (run.folder / "last_checkpoint").write_text("gone.pth")
    with pytest.raises(FileNotFoundError, match=r"last_checkpoint names gone\.pth, which is not there"):
        run("--resume", *NO_TEST)


def test_a_resume_that_is_refused_leaves_the_config(new_run, tmp_path):
    run = new_run("detectron2")
    run("SOLVER.MAX_ITER", "2", *NO_TEST)
    before = (run.folder / "config.yaml").read_bytes()
    for words, message in (
        (["MODEL.HIERA.EMBED_DIM", "16"], "is of another model"),
        (["SOLVER.MAX_ITER", "1"], r"SOLVER\.MAX_ITER is 1, but .* has 2 iterations"),
        (["DATASETS.SHA256", f"[['shapes_train', '{'0' * 64}']]"], "not the data that this config was trained on"),
    ):
        with pytest.raises(ValueError, match=message):
            run("--resume", *NO_TEST, *words)
        assert (run.folder / "config.yaml").read_bytes() == before
    (run.folder / "last_checkpoint").write_text("../elsewhere.pth")
    with pytest.raises(ValueError, match=r"last_checkpoint holds '\.\./elsewhere\.pth'"):
        run("--resume", *NO_TEST)


def test_weights_that_are_not_finite_are_not_saved(new_run, monkeypatch):
    from detectron2.engine import SimpleTrainer

    step = SimpleTrainer.run_step

    def spoiling(self):
        step(self)
        next(self.model.parameters()).data.view(-1)[0] = float("inf")

    monkeypatch.setattr(SimpleTrainer, "run_step", spoiling)
    run = new_run("detectron2")
    with pytest.raises(FloatingPointError, match="tensors are not finite"):
        run("SOLVER.MAX_ITER", "1", *NO_TEST)
    assert not list(run.folder.glob("*.pth"))


def test_what_a_run_leaves_reaches_the_other_backend(trained2, new_run, caplog):
    run = new_run("torchvision")
    run.config = trained2.folder / "config.yaml"
    with caplog.at_level(logging.INFO):
        run("--eval-only", "MODEL.WEIGHTS", str(trained2.folder / "model_final.pth"))
    assert results(run)[0]["bbox"]["AP"] == pytest.approx(results(trained2)[0]["bbox"]["AP"], abs=1e-4)
    (skipped,) = {record.getMessage() for record in caplog.records if "without effect" in record.getMessage()}
    assert "MODEL.RESNETS, MODEL.RETINANET" in skipped and "\n" not in skipped
    assert not (trained2.folder / "config_changes.yaml").exists()


def test_a_projects_own_file_in_both_backends(new_run, tmp_path):
    """On top of detectron2's own base file; grouping by aspect ratio, its default, is for training alone."""
    base = Path(model_zoo.__file__).parent / "configs" / "Base-RCNN-FPN.yaml"
    hiera_node = {
        "NAME": "hiera_tiny_224",
        "EMBED_DIM": 8,
        "NUM_HEADS": 1,
        "STAGES": [1, 1, 1, 1],
        "GLOBAL_BLOCKS": [2],
    }
    own = {
        "_BASE_": str(base),
        "SEED": 3,
        "MODEL": {
            "DEVICE": "cpu",
            "BACKBONE": {"NAME": "build_hiera_fpn_backbone", "FREEZE_AT": 0},
            "HIERA": {**hiera_node, "WINDOW_SIZES": [8, 4, 4, 2]},
            "MASK_ON": True,
            "PIXEL_MEAN": [123.675, 116.28, 103.53],
            "PIXEL_STD": [58.395, 57.12, 57.375],
            "RESNETS": {"DEPTH": 101},
            "ROI_HEADS": {"NUM_CLASSES": 4},
        },
        "INPUT": {"MIN_SIZE_TRAIN": [64], "MIN_SIZE_TEST": 64, "MASK_FORMAT": "bitmask", "FORMAT": "RGB"},
        "DATASETS": {"TRAIN": ["shapes_train"], "TEST": ["shapes_val"]},
        "DATALOADER": {"NUM_WORKERS": 0},
        "SOLVER": {"MAX_ITER": 2, "IMS_PER_BATCH": 2, "STEPS": []},
    }
    runs = new_run("detectron2"), new_run("detectron2"), new_run("torchvision")
    for run in runs:
        run.config = tmp_path / "own.yaml"
    runs[0].config.write_text(yaml.safe_dump(own))
    runs[0](*NO_TEST)
    for reader in runs[1:]:
        weights = ["MODEL.WEIGHTS", str(runs[0].folder / "model_final.pth")]
        reader("--eval-only", *weights, "MODEL.ROI_HEADS.SCORE_THRESH_TEST", "0.0")
    assert_same_results(*runs[1:])
    with pytest.raises(
        ValueError, match=r"DATALOADER\.ASPECT_RATIO_GROUPING is True; the torchvision backend supports"
    ):
        runs[2](*NO_TEST)


def test_what_is_not_defined_is_not_written_as_nan(trained2):
    """The generated set has no large objects."""
    lines = (trained2.folder / "metrics.json").read_text().splitlines()
    records = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    assert "bbox/AP" in records[-1] and "bbox/APl" not in records[-1]


def test_the_checkpoint_knows_what_it_is(trained2, trained, tmp_path):
    detector = hiera_det.load(trained2.folder / "model_final.pth")
    assert detector.class_names == ["circle", "square", "triangle", "star"]
    assert detector.cfg.MODEL.HIERA.EMBED_DIM == 8 and detector.description.version == hiera_det.__version__
    for run in (trained2, trained):  # and on detectron2
        words = ["--backend", "detectron2", "--weights", str(run.folder), "--output", str(tmp_path / "out")]
        evaluate.main(words)
        metrics = json.loads((tmp_path / "out" / "inference" / "metrics.json").read_text())
        assert metrics["bbox"] == results(run)[0]["bbox"]


@pytest.mark.parametrize("backend", ["torchvision", "detectron2"])
def test_other_classes_and_ids_of_text_are_refused(trained, new_run, datasets_root, tmp_path, backend):
    folder = datasets_root / "shapes"
    content = json.loads((folder / "annotations" / "instances_val.json").read_text())
    names = {**content, "categories": [{**content["categories"][0], "name": "datum"}, *content["categories"][1:]]}
    ids = {**content, "images": [{**content["images"][0], "id": "first"}, *content["images"][1:]]}
    cases = ((names, "label 1: 'circle' and 'datum'"), (ids, "image number 0: field 'id' is 'first', expected int"))
    for number, (changed, message) in enumerate(cases):
        path = tmp_path / f"{backend}_{number}.json"
        path.write_text(json.dumps(changed))
        flags = ["--dataset-json", str(path), "--image-root", str(folder / "val")]
        with pytest.raises(ValueError, match=message):
            new_run(backend)("--eval-only", *flags, "MODEL.WEIGHTS", str(trained.folder / "model_final.pth"))


def test_a_metric_that_cannot_be_computed_is_refused_before_training(new_run):
    run = new_run("detectron2")
    with pytest.raises(ValueError, match=r"TEST\.METRICS names LVIS, but .*instances_val\.json lacks its fields"):
        run("SOLVER.MAX_ITER", "2", "TEST.METRICS", "['LVIS']")
    assert not list(run.folder.glob("*.pth"))


def test_evaluation_needs_no_training_set(trained2, new_run, datasets_root, monkeypatch, tmp_path):
    shapes = datasets_root / "shapes"
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    val = ["--dataset-json", str(shapes / "annotations" / "instances_val.json"), "--image-root", str(shapes / "val")]
    run = new_run("detectron2")
    weights = ["MODEL.WEIGHTS", str(trained2.folder / "model_final.pth")]
    run("--eval-only", *val, *weights, "DATASETS.TRAIN", "('coco_2017_train',)")
    assert results(run)[0]["dataset"] == "instances_val"


def test_without_resume_training_starts_anew(trained2, new_run):
    run = new_run("detectron2")
    run("SOLVER.MAX_ITER", "2", *NO_TEST)
    run("SOLVER.MAX_ITER", "2", *NO_TEST)
    assert "MODEL.WEIGHTS is empty: training from scratch" in run.log
    assert run.checkpoint()["iteration"] == 1


def results(run):
    metrics = json.loads((run.folder / "inference" / "metrics.json").read_text())
    detections = json.loads((run.folder / "inference" / "coco_instances_results.json").read_text())
    return metrics, detections


@pytest.mark.parametrize("writer", ["torchvision", "detectron2"])
def test_either_backends_checkpoint_gives_the_same_figures_in_both(writer, trained, trained2, new_run):
    weights = {"torchvision": trained, "detectron2": trained2}[writer].folder / "model_final.pth"
    readers = new_run("torchvision"), new_run("detectron2")
    for reader in readers:
        reader("--eval-only", "MODEL.WEIGHTS", str(weights), "MODEL.ROI_HEADS.SCORE_THRESH_TEST", "0.0")
    assert_same_results(*readers)


def assert_same_results(*runs):
    (ours, our_detections), (theirs, their_detections) = (results(run) for run in runs)
    for kind in ("bbox", "segm"):
        assert ours[kind].keys() == theirs[kind].keys()
        assert ours[kind] == {k: v if v is None else pytest.approx(v, abs=1e-4) for k, v in theirs[kind].items()}
    assert len(our_detections) == len(their_detections) > 50
    for one, other in zip(our_detections, their_detections, strict=True):
        assert one["category_id"] == other["category_id"] and one["image_id"] == other["image_id"]
        assert one["bbox"] == pytest.approx(other["bbox"], abs=1e-3)
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)


@pytest.mark.parametrize(("writer", "reader"), [("torchvision", "detectron2"), ("detectron2", "torchvision")])
def test_the_other_backends_run_is_not_resumed(writer, reader, trained, trained2, new_run):
    run = new_run(reader)
    run.folder.mkdir(parents=True)
    source = {"torchvision": trained, "detectron2": trained2}[writer].folder
    for name in ("model_final.pth", "last_checkpoint"):
        (run.folder / name).write_bytes((source / name).read_bytes())
    with pytest.raises(ValueError, match=r"model_final\.pth cannot be resumed from.*MODEL\.WEIGHTS .*without --resume"):
        run("--resume", *NO_TEST)
    run("SOLVER.MAX_ITER", "1", "MODEL.WEIGHTS", str(source / "model_final.pth"), *NO_TEST)  # but it is a start


def test_the_originals_file_and_the_report(new_run, tmp_path):
    small = {"embed_dim": 8, "num_heads": 1, "stages": (1, 1, 1, 1)}
    state = build_hiera("hiera_tiny_224", **small).state_dict()
    torch.save({"model_state": state}, tmp_path / "hiera_tiny_224.pth")
    run = new_run("detectron2")
    weights = ["MODEL.WEIGHTS", str(tmp_path / "hiera_tiny_224.pth")]
    run(*weights, "SOLVER.MAX_ITER", "1", "SOLVER.BASE_LR", "0.0", *NO_TEST)
    saved = run.checkpoint()["model"]
    for key in (key for key in state if key.startswith("blocks")):
        assert torch.equal(saved[f"backbone.bottom_up.{key}"], state[key]), key
    assert "format original" in run.log
    with pytest.raises(ValueError, match="another variant"):
        run(*weights, "MODEL.HIERA.EMBED_DIM", "16", *NO_TEST)


def test_datasets_of_ones_own(new_run, datasets_root):
    shapes = datasets_root / "shapes"
    run = new_run("detectron2")
    flags = ["--dataset-json", str(shapes / "annotations" / "instances_val.json"), "--image-root", str(shapes / "val")]
    run(*flags, "SOLVER.MAX_ITER", "1")
    assert "instances_val" in run.log
    assert not (run.folder / "inference").exists()


@pytest.fixture
def small_run(configs, new_run, config_file, tmp_path):
    """``small_run(backend, "cascade_mask_rcnn_hiera_b")``: a shipped file's own keys, over the tests' small model."""

    def made(backend, name):
        run = new_run(backend)
        run.config = tmp_path / f"{name}.yaml"
        shipped = yaml.safe_load((configs / f"{name}.yaml").read_text())
        run.config.write_text(yaml.safe_dump({**shipped, "_BASE_": str(config_file)}))
        return run

    return made


def test_retinanet(small_run):
    run = small_run("detectron2", "retinanet_hiera_b")
    run("SOLVER.MAX_ITER", "2", "SOLVER.STEPS", "[]", "MODEL.RETINANET.NUM_CLASSES", "4")
    metrics, _ = results(run)
    assert set(metrics) == {"dataset", "bbox"}
    assert any("loss_box_reg" in record for record in run.records)


@pytest.mark.parametrize("writer", ["torchvision", "detectron2"])
def test_cascade_in_both_backends(small_run, writer):
    run = small_run(writer, "cascade_mask_rcnn_hiera_b")
    run("SOLVER.MAX_ITER", "2", "SOLVER.STEPS", "[]", *NO_TEST)
    assert any("loss_cls_stage2" in record for record in run.records)
    weights = ["MODEL.WEIGHTS", str(run.folder / "model_final.pth"), "MODEL.ROI_HEADS.SCORE_THRESH_TEST", "0.0"]
    readers = [small_run(name, "cascade_mask_rcnn_hiera_b") for name in ("torchvision", "detectron2")]
    for reader in readers:
        reader("--eval-only", *weights)
    assert_same_results(*readers)


def test_what_this_backend_refuses(new_run, monkeypatch):
    run = new_run("detectron2")
    with pytest.raises(ValueError, match="--precision and --accumulate are the torchvision backend's"):
        run("--accumulate", "2")
    with pytest.raises(ValueError, match="--num-gpus 99, but there are"):
        run("--num-gpus", "99")
    with pytest.raises(ValueError, match=r"LOGGERS is \['csv'\], but detectron2's trainer writes metrics\.json and"):
        run("LOGGERS", "['csv']", *NO_TEST)
    with pytest.raises(ValueError, match=r"MODEL\.HIERA\.NAMES"):
        run("MODEL.HIERA.NAMES", "x")
    with pytest.raises(ValueError, match=r"DATASETS\.TEST is empty"):
        run("--eval-only", *NO_TEST)
    with pytest.raises(ValueError, match=r"MODEL\.WEIGHTS is empty; name a trained checkpoint"):
        run("--eval-only")
    with pytest.raises(ValueError, match=r"MODEL\.ROI_HEADS\.NUM_CLASSES is 7; set it to 4"):
        run("MODEL.ROI_HEADS.NUM_CLASSES", "7")
    with pytest.raises(ValueError, match=r"unknown dataset 'nope': neither registered with detectron2 nor one of coco"):
        run("DATASETS.TRAIN", "('nope',)", *NO_TEST)
    with pytest.raises(ValueError, match=r"DATASETS\.TRAIN is empty"):
        run("DATASETS.TRAIN", "()", *NO_TEST)
    with pytest.raises(ValueError, match="--num-machines 2 needs --dist-url tcp://"):
        run("--num-machines", "2")
    with pytest.raises(ValueError, match="--num-gpus -3"):
        run("--num-gpus", "-3")
    with pytest.raises(ValueError, match=r"SOLVER\.IMS_PER_BATCH is 0"):
        run("SOLVER.IMS_PER_BATCH", "0")
    with monkeypatch.context() as patch, pytest.raises(ValueError, match=r"under torchrun .* --backend torchvision"):
        patch.setenv("WORLD_SIZE", "2")
        run()
    with pytest.raises(FileNotFoundError, match=r"dataset coco_2017_train: no annotation file"):
        run("DATASETS.TRAIN", "('coco_2017_train',)", *NO_TEST)


def test_not_finite_loss(new_run):
    run = new_run("detectron2")
    with pytest.raises(FloatingPointError, match="diverged"):
        run("MODEL.PIXEL_STD", "[1e-40, 1e-40, 1e-40]", *NO_TEST)
    assert not list(run.folder.glob("*.pth"))


def test_mixed_precision_is_for_gpus(new_run):
    run = new_run("detectron2")
    run("SOLVER.AMP.ENABLED", "True", "SOLVER.MAX_ITER", "1", *NO_TEST)
    assert "SOLVER.AMP.ENABLED is for GPUs: computing in fp32 on the CPU" in run.log


def test_grey_in_both_backends(new_run):
    """Trained on detectron2, which reads it as L, and evaluated on both with the same figures."""
    keys = ["MODEL.PIXEL_MEAN", "[120.0]", "MODEL.PIXEL_STD", "[60.0]"]
    writer, reader = new_run("detectron2"), new_run()
    writer("SOLVER.MAX_ITER", "2", "VIS_PERIOD", "0", *keys, "MODEL.ROI_HEADS.SCORE_THRESH_TEST", "0.0")
    assert "INPUT.FORMAT is L in place of RGB" in writer.log
    weights = ["MODEL.WEIGHTS", str(writer.folder / "model_final.pth")]
    reader("--eval-only", *keys, *weights, "MODEL.ROI_HEADS.SCORE_THRESH_TEST", "0.0")
    assert_same_results(reader, writer)


def test_four_channels_are_no_transparency(new_run):
    keys = ["MODEL.PIXEL_MEAN", "[1.0, 1.0, 1.0, 1.0]", "MODEL.PIXEL_STD", "[1.0, 1.0, 1.0, 1.0]"]
    with pytest.raises(ValueError, match=r"take a fourth channel for transparency .*; take --backend torchvision"):
        new_run("detectron2")(*keys, "INPUT.FORMAT", "RGBA")
