"""The package in Python: `load` for every kind of file, `train`, `evaluate`, publishing."""

from __future__ import annotations

import json
import logging
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub.hub_mixin
import numpy as np
import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from PIL import Image

import hiera_det
from hiera_det import HieraBackbone, build_hiera
from hiera_det.detection.predictor import DetectionPredictor
from hiera_det.features.classification.classifier import Classifier
from hiera_det.features.single import Extractor
from hiera_det.projects.ava.predictor import ActionPredictor
from hiera_det.weights.trained import read_trained


@pytest.fixture(scope="module")
def trained_actions(new_action_run):
    run = new_action_run()
    run()
    return run


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (48, 80, 3), dtype=np.uint8)


@pytest.fixture
def old(trained, tmp_path) -> Path:
    """A checkpoint as version 0.1.0 wrote it, away from its run."""
    checkpoint = trained.checkpoint()
    for name in ("task", "config", "hiera_det_version"):
        del checkpoint[name]
    torch.save(checkpoint, tmp_path / "old.pth")
    return tmp_path / "old.pth"


def same_detections(ours: DetectionPredictor, theirs: DetectionPredictor, picture: np.ndarray) -> bool:
    found = [predictor.predict(picture, score_threshold=0.0) for predictor in (ours, theirs)]
    return len(found[0]) > 0 and found[0].to_coco() == found[1].to_coco()


# --- load


def test_a_detector_from_its_file_or_its_runs_folder(trained, picture):
    by_file, by_folder = (
        hiera_det.load(source) for source in (trained.folder / "model_final.pth", str(trained.folder))
    )
    assert isinstance(by_file, DetectionPredictor)
    assert same_detections(by_file, by_folder, picture)
    assert by_file.cfg.MODEL.FPN.OUT_CHANNELS == 8 and by_file.category_ids == [1, 2, 3, 4]


def test_an_action_detector(trained_actions, mini_ava):
    actions = hiera_det.load(trained_actions.folder)
    assert isinstance(actions, ActionPredictor) and "jump" in actions.class_names
    boxes = mini_ava / "annotations" / "val_person_boxes.csv"
    video = boxes.read_text().splitlines()[0].split(",")[0]
    path = mini_ava / "videos" / f"{video}.mp4"
    rows = [line for line in boxes.read_text().splitlines() if line.startswith(video)]
    own_time = path.with_name("boxes.csv")
    own_time.write_text(f"{video},1,0.1,0.2,0.4,0.9,,0.95\n")
    (found,) = actions.predict(path, boxes=own_time)
    assert rows and found.second == 1.0 and found.probabilities.shape == (1, len(actions.class_names))
    (best,) = found.actions(min_score=0.0)
    assert list(best.values()) == sorted(best.values(), reverse=True) and set(best) == set(actions.class_names)
    with pytest.raises(ValueError, match="either boxes, a file, or detector"):
        actions.predict(path)


def test_a_classifier(tmp_path, redraw, picture):
    model = build_hiera("hiera_tiny_224", num_classes=7)
    redraw(model)
    torch.save({"model_state": model.state_dict()}, tmp_path / "classes.pth")
    classifier = hiera_det.load(tmp_path / "classes.pth", device="cpu")
    assert isinstance(classifier, Classifier)
    best, second = classifier.predict(picture, top_k=2)
    assert best["score"] >= second["score"] and best["category_id"] in range(7)
    assert classifier.predict([picture, Image.fromarray(picture)], top_k=2) == [[best, second]] * 2
    with pytest.raises(ValueError, match="expected 1 to 7"):
        classifier.predict(picture, top_k=8)


def test_a_backbone_to_extract_with(tmp_path, redraw, picture):
    model = build_hiera("hiera_tiny_224", num_classes=7)
    redraw(model)
    state = {name: value for name, value in model.state_dict().items() if not name.startswith(("head.", "norm."))}
    torch.save({"model_state": state}, tmp_path / "backbone.pth")
    extractor = hiera_det.load(tmp_path / "backbone.pth")
    assert isinstance(extractor, Extractor) and isinstance(extractor.backbone, HieraBackbone)
    found, again = extractor.extract([picture, picture])
    assert {name: tuple(value.shape) for name, value in found.maps.items()} == {
        "res2": (96, 12, 20),
        "res3": (192, 6, 10),
        "res4": (384, 3, 5),
        "res5": (768, 2, 3),
    }
    assert torch.equal(found.mean, again.mean) and found.mean.shape == (768,)
    assert torch.allclose(found.mean, found.maps["res5"].flatten(1).mean(1), atol=1e-5)
    with pytest.raises(ValueError, match="takes no config"):
        hiera_det.load(tmp_path / "backbone.pth", config="quickstart")


def test_a_file_of_0_1_0_takes_a_config(old, trained, picture, caplog):
    with pytest.raises(
        ValueError, match=r"old\.pth does not hold its config: version 0\.1\.0 .*--config.*config=\.\.\."
    ):
        hiera_det.load(old)
    with caplog.at_level(logging.INFO):
        detector = hiera_det.load(old, config=trained.folder / "config.yaml")
    assert "does not hold its config, as files of version 0.1.0: taken from" in caplog.text
    assert same_detections(detector, hiera_det.load(trained.folder), picture)
    (old.with_name("config.yaml")).write_text((trained.folder / "config.yaml").read_text())
    with pytest.raises(ValueError, match=rf"such as {old.with_name('config.yaml')}"):
        hiera_det.load(old)


def test_classes_that_the_file_does_not_name(old, trained, picture):
    checkpoint = torch.load(old, weights_only=True)
    torch.save({"model": checkpoint["model"]}, old)
    found = hiera_det.load(old, config=trained.folder / "config.yaml").predict(picture, score_threshold=0.0)
    assert found.class_names == ["1", "2", "3", "4"]
    assert torch.equal(found.category_ids, found.labels + 1)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["circle"], "1 class names"),
        ([1, 2, 3, 4], "class name 0 is a int"),
        (None, "the class names are a NoneType"),
        (torch.zeros(4), "the class names are a Tensor"),
        (["a", "b", "c", "d" * 2**20], "class name 3 has 1048576 characters"),
        (["a", "b", "c", "\ud800"], "class name 3 is .* no valid text"),
    ],
)
def test_spoilt_classes(trained, tmp_path, names, message):
    checkpoint = {**trained.checkpoint(), "class_names": names}
    torch.save(checkpoint, tmp_path / "spoilt.pth")
    with pytest.raises(ValueError, match=message):
        hiera_det.load(tmp_path / "spoilt.pth")


def test_spoilt_classes_are_one_line_everywhere(trained, tmp_path, picture):
    torch.save({**trained.checkpoint(), "class_names": ["circle"]}, tmp_path / "spoilt.pth")
    Image.fromarray(picture).save(tmp_path / "a.png")
    files = ["--input", str(tmp_path / "a.png"), "--output", str(tmp_path / "out")]
    for words in (["predict", *files], ["evaluate", "--backend", "torchvision"]):
        command = [sys.executable, "-m", "hiera_det", *words, "--weights", str(tmp_path / "spoilt.pth")]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 2 and len(done.stderr.splitlines()[-1]) < 400, done.stderr[-2000:]
        assert done.stderr.splitlines()[-1].startswith("error: ")


def test_fewer_classes_than_the_model_has(trained, tmp_path):
    checkpoint = {**trained.checkpoint(), "class_names": ["circle"], "category_ids": [1]}
    torch.save(checkpoint, tmp_path / "spoilt.pth")
    with pytest.raises(ValueError, match=r"names 1 classes, but its config has MODEL\.ROI_HEADS\.NUM_CLASSES 4"):
        hiera_det.load(tmp_path / "spoilt.pth")


def test_fewer_actions_than_the_head_has(trained_actions, tmp_path):
    checkpoint = {**trained_actions.checkpoint(), "class_names": ["jump"], "category_ids": [1]}
    torch.save(checkpoint, tmp_path / "spoilt.pth")
    with pytest.raises(ValueError, match=r"names 1 actions, but its head has \[6\] outputs"):
        hiera_det.load(tmp_path / "spoilt.pth")


def test_a_task_that_the_weights_contradict(trained, tmp_path):
    torch.save({**trained.checkpoint(), "task": "actions"}, tmp_path / "spoilt.pth")
    with pytest.raises(ValueError, match="says that its task is 'actions', but has the weights of 'detection'"):
        hiera_det.load(tmp_path / "spoilt.pth")


# --- train and evaluate


def test_train_and_evaluate(config_file, datasets_root, tmp_path):
    root = datasets_root / "shapes"
    train, test = ((root / "annotations" / f"instances_{name}.json", root / name) for name in ("train", "val"))
    keys = {"SOLVER.MAX_ITER": 2, "SOLVER.STEPS": (), "SEED": 5}
    metrics = hiera_det.train(config_file, train=train, test=test, output_dir=tmp_path / "run", overrides=keys)
    assert {"bbox/AP", "segm/AP", "bbox/AP-circle"} <= metrics.keys()
    again = hiera_det.evaluate(tmp_path / "run", test=test)
    same = [a == b or (math.isnan(a) and math.isnan(b)) for a, b in zip(metrics.values(), again.values(), strict=True)]
    assert metrics.keys() == again.keys() and all(same)
    assert (tmp_path / "run" / "inference" / "metrics.json").is_file()
    other = hiera_det.evaluate(tmp_path / "run" / "model_final.pth", test=test, output_dir=tmp_path / "other")
    assert other.keys() == again.keys() and (tmp_path / "other" / "inference" / "config.yaml").is_file()
    checkpoint = read_trained(tmp_path / "run").description
    assert checkpoint.iteration == 1 and checkpoint.config["SOLVER"]["MAX_ITER"] == 2


def test_the_number_of_classes_is_that_of_ones_own_data(tmp_path, datasets_root, config_file):
    config = yaml.safe_load(config_file.read_text())
    config["MODEL"]["ROI_HEADS"]["NUM_CLASSES"] = 80  # the default
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(config))
    root = datasets_root / "shapes"
    train = (root / "annotations" / "instances_train.json", root / "train")
    keys = {"SOLVER.MAX_ITER": 1, "SOLVER.STEPS": ()}
    assert hiera_det.train(tmp_path / "own.yaml", train=train, output_dir=tmp_path / "run", overrides=keys) == {}
    assert hiera_det.load(tmp_path / "run").class_names == ["circle", "square", "triangle", "star"]
    saved = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert saved["MODEL"]["ROI_HEADS"]["NUM_CLASSES"] == 4 and saved["DATASETS"]["TEST"] == []
    with pytest.raises(ValueError, match=r"has 4 categories, but MODEL.ROI_HEADS.NUM_CLASSES is 5"):
        keys["MODEL.ROI_HEADS.NUM_CLASSES"] = 5
        hiera_det.train(tmp_path / "own.yaml", train=train, output_dir=tmp_path / "run", overrides=keys)


def test_actions_name_their_data_in_the_config(trained_actions, datasets_root, tmp_path):
    root = datasets_root / "shapes"
    test = (root / "annotations" / "instances_val.json", root / "val")
    with pytest.raises(ValueError, match=r"the config names the data: DATASETS\.ROOT"):
        hiera_det.evaluate(trained_actions.folder, test=test, output_dir=tmp_path)


# --- publishing


def test_a_published_detector_is_the_same(trained, tmp_path, picture):
    detector = hiera_det.load(trained.folder)
    detector.save_pretrained(tmp_path / "published")
    assert sorted(p.name for p in (tmp_path / "published").iterdir()) == [
        *("README.md", "config.json", "model.safetensors")
    ]
    for read in (
        hiera_det.load(tmp_path / "published"),
        hiera_det.load(tmp_path / "published" / "model.safetensors"),
        DetectionPredictor.from_pretrained(tmp_path / "published"),
    ):
        assert same_detections(read, detector, picture)
        assert read.description.iteration == 5 and read.category_ids == detector.category_ids
    card = ModelCard.load(tmp_path / "published" / "README.md")
    assert card.data.library_name == "hiera_det" and card.data.pipeline_tag == "object-detection"
    assert "circle, square, triangle, star" in card.content and "6 iterations" in card.content
    config = json.loads((tmp_path / "published" / "config.json").read_text(), parse_constant=pytest.fail)
    assert config["task"] == "detection" and config["config"]["MODEL"]["HIERA"]["EMBED_DIM"] == 8
    metrics = hiera_det.evaluate(
        tmp_path / "published", output_dir=tmp_path / "out", overrides={"OUTPUT_DIR": str(tmp_path / "out")}
    )
    assert "bbox/AP" in metrics


@pytest.fixture(autouse=True)
def _shapes_by_name(shapes_by_name):
    """Runs find the generated datasets."""


def test_a_published_action_detector_is_the_same(trained_actions, tmp_path):
    actions = hiera_det.load(trained_actions.folder)
    actions.save_pretrained(tmp_path)
    read = ActionPredictor.from_pretrained(tmp_path)
    frames = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    boxes = np.array([[0.1, 0.1, 0.8, 0.9]])
    assert np.array_equal(read.classify(frames, boxes), actions.classify(frames, boxes))
    assert (read.class_names, read.category_ids) == (actions.class_names, actions.category_ids)
    with pytest.raises(ValueError, match="is of a model for actions, expected detection"):
        DetectionPredictor.from_pretrained(tmp_path)


def test_a_licence_is_passed_on(trained, tmp_path):
    checkpoint = {**trained.checkpoint(), "licence": "CC-BY-NC-4.0"}
    torch.save(checkpoint, tmp_path / "start.pth")
    hiera_det.load(tmp_path / "start.pth").save_pretrained(tmp_path / "published")
    assert ModelCard.load(tmp_path / "published" / "README.md").data.license == "cc-by-nc-4.0"
    for source in (tmp_path / "start.pth", tmp_path / "published" / "model.safetensors"):
        report = hiera_det.load_weights(HieraBackbone("hiera_tiny_224", **_small()), source)
        assert report.licence == "CC-BY-NC-4.0"


def _small() -> dict:
    return {"embed_dim": 8, "num_heads": 1, "stages": (1, 1, 1, 1), "global_blocks": (2,)}


def test_upload(trained, monkeypatch):
    uploaded = {}

    class Api:
        def __init__(self, token=None):
            pass

        def create_repo(self, repo_id, **_):
            return SimpleNamespace(repo_id=repo_id)

        def upload_folder(self, *, repo_id, folder_path, **_):
            uploaded[repo_id] = sorted(path.name for path in Path(folder_path).iterdir())
            return "https://huggingface.co/me/shapes/commit/1"

    monkeypatch.setattr(huggingface_hub.hub_mixin, "HfApi", Api)
    assert hiera_det.load(trained.folder).push_to_hub("me/shapes").endswith("commit/1")
    assert uploaded == {"me/shapes": ["README.md", "config.json", "model.safetensors"]}


def test_the_hubs_offline_mode_is_obeyed(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("it asked the network"))
    for read in (lambda: hiera_det.load("hf://me/shapes"), lambda: DetectionPredictor.from_pretrained("me/shapes")):
        with pytest.raises(FileNotFoundError, match=r"hf://me/shapes is neither in the cache nor can it be fetched"):
            read()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("MODEL.PIXEL_MEAN", None, r"MODEL\.PIXEL_MEAN is None, expected a value such as its default"),
        ("MODEL.ANCHOR_GENERATOR.SIZES", [None], r"MODEL\.ANCHOR_GENERATOR\.SIZES is \[None\]"),
        ("MODEL.HIERA.EMBED_DIM", "abc", r"MODEL\.HIERA\.EMBED_DIM is 'abc'; expected a whole number from 1"),
        ("MODEL.HIERA.NUM_HEADS", 0, r"MODEL\.HIERA\.NUM_HEADS is 0"),
        ("MODEL.HIERA.NUM_HEADS", 10**39, r"MODEL\.HIERA\.NUM_HEADS is 1000"),
        ("MODEL.HIERA.STAGES", 4, r"MODEL\.HIERA\.STAGES is 4; expected a list of 1 to 16 whole numbers"),
        ("MODEL.HIERA.STAGES", [1, 1.5, 1, 1], r"MODEL\.HIERA\.STAGES is \[1, 1\.5"),
        ("MODEL.FPN.OUT_CHANNELS", -1, r"spoilt\.pth: MODEL\.FPN\.OUT_CHANNELS is -1; expected a whole number from 1"),
        ("MODEL.FPN.OUT_CHANNELS", 16, "is of another model than this config builds"),
        ("MODEL.ROI_BOX_HEAD.FC_DIM", 10**39, r"MODEL\.ROI_BOX_HEAD\.FC_DIM is 1000"),
        ("MODEL.HIERA.NAME", "nobody", "nobody"),
        ("MODEL.NO_KEY", 1, r"Non-existent config key: MODEL\.NO_KEY"),
    ],
)
def test_a_config_that_describes_no_model_is_one_error(trained, tmp_path, key, value, message):
    checkpoint = trained.checkpoint()
    node = checkpoint["config"]
    *nodes, last = key.split(".")
    for name in nodes:
        node = node[name]
    node[last] = value
    torch.save(checkpoint, tmp_path / "spoilt.pth")
    with pytest.raises(ValueError, match=message):
        hiera_det.load(tmp_path / "spoilt.pth")
