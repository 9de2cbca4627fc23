"""Runs of pretraining from files to weights that other models take."""

from __future__ import annotations

import csv
import json
import shutil
import tarfile

import cv2
import numpy as np
import pytest
import torch
import yaml

import hiera_det
from hiera_det.cli import evaluate, pretrain
from hiera_det.cli.extract import main as extract
from hiera_det.data.video_writer import write_video
from hiera_det.weights.formats import find_hiera


def rows(path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_what_a_run_leaves(pretrained):
    folder = pretrained.folder
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"model_final.pth", "config.yaml", "README.md", "log.txt", "metrics.json"} < names
    assert {"pictures/0000001.png", "pictures/0000003.png", "inference/pictures/000.png"} < names
    assert "failed.csv" not in names and "inference/failed.csv" not in names
    metrics = json.loads((folder / "inference" / "metrics.json").read_text())
    found = rows(folder / "inference" / "results.csv")
    assert found[0] == ["id", "loss"] and [name for name, _ in found[1:]] == [f"00000{i}.jpg" for i in range(1, 6)]
    assert metrics["items"] == 5 and metrics["failed"] == 0
    assert metrics["loss"] == pytest.approx(np.mean([float(loss) for _, loss in found[1:]]), abs=1e-6)
    assert pretrained.records[-1]["test/loss"] == pytest.approx(metrics["loss"])


def test_the_pictures_show_three_panels(pretrained):
    image = cv2.imread(str(pretrained.folder / "inference" / "pictures" / "000.png"))
    assert image.shape == (256 + 26, 3 * 256 + 2 * 6, 3)  # 64 pixels four times enlarged, titles, gaps
    shown, seen, predicted = (image[26:, start : start + 256].astype(int) for start in (0, 262, 524))
    grey = (abs(seen - 127.5) <= 1).all(axis=2)
    kept = ~grey.reshape(2, 128, 2, 128).transpose(0, 2, 1, 3).all(axis=(2, 3))
    assert kept.sum() == int(4 * 0.4)  # of four mask units
    y, x = np.argwhere(kept)[0] * 128
    unit = slice(y, y + 128), slice(x, x + 128)
    assert (abs(shown[unit] - seen[unit]) <= 1).all() and (abs(shown[unit] - predicted[unit]) <= 1).all()
    assert (abs(shown - predicted).max(axis=2)[grey] > 3).any()


def test_the_card_leaves_the_licence_to_the_user(pretrained):
    card = (pretrained.folder / "README.md").read_text()
    assert "10 images for 4 iterations of 4 crops of 64 x 64" in " ".join(card.split())
    assert "began with: none noted. That of these weights is yours" in " ".join(card.split())


def test_a_licence_that_weights_had_stays(new_pretraining_run, pretrained, tmp_path):
    path = tmp_path / "began.pth"
    checkpoint = pretrained.checkpoint()
    torch.save({**checkpoint, "licence": "CC-BY-NC-4.0"}, path)
    run = new_pretraining_run()
    run("MODEL.WEIGHTS", str(path), "SOLVER.MAX_ITER", "1")
    assert run.checkpoint()["licence"] == "CC-BY-NC-4.0"
    assert "began with: CC-BY-NC-4.0." in (run.folder / "README.md").read_text()


def test_evaluation_repeats_itself(pretrained, datasets_root, tmp_path):
    weights = ["--weights", str(pretrained.folder), "--output", str(tmp_path)]
    evaluate.main([*weights, "MODEL.DEVICE", "cpu"])
    again, first = (rows(folder / "inference" / "results.csv") for folder in (tmp_path, pretrained.folder))
    assert again == first
    held_out = str(datasets_root / "shapes" / "train")
    evaluate.main([*weights, "DATASETS.TEST", f"({held_out!r},)"])
    assert len(rows(tmp_path / "inference" / "results.csv")) == 1 + 10


def test_the_loss_falls(new_pretraining_run):
    run = new_pretraining_run()
    keys = ["SOLVER.MAX_ITER", "60", "SOLVER.BASE_LR", "0.005", "MODEL.HIERA.DROP_PATH_RATE", "0.0", "VIS_PERIOD", "0"]
    run(*keys, "SOLVER.CHECKPOINT_PERIOD", "100", "DATASETS.TEST", "()", "SOLVER.IMS_PER_BATCH", "4")
    losses = [record["total_loss"] for record in run.records]
    assert np.mean(losses[-10:]) < 0.85 * np.mean(losses[:5])


def test_masks_and_crops_do_not_depend_on_the_split_of_a_batch(new_pretraining_run):
    losses = []
    for parts in "1", "4":
        run = new_pretraining_run()
        keys = ["SOLVER.IMS_PER_BATCH", "4", "MODEL.HIERA.DROP_PATH_RATE", "0.0", "DATASETS.TEST", "()"]
        run("--accumulate", parts, *keys)
        losses.append([record["total_loss"] for record in run.records])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_in_bf16(new_pretraining_run):
    run = new_pretraining_run()
    run("--precision", "bf16", "DATASETS.TEST", "()")
    assert len(run.records) == 4 and all(np.isfinite(record["total_loss"]) for record in run.records)


def test_everything_takes_its_weights(pretrained, new_run, shapes_by_name, tmp_path, caplog):
    path, state = pretrained.folder / "model_final.pth", pretrained.checkpoint()["model"]
    encoder = find_hiera(state, "").encoder
    small = {"embed_dim": 8, "stages": (1, 1, 1, 1)}
    backbone = hiera_det.HieraBackbone("hiera_tiny_224", layout="released", **small)
    report = hiera_det.load_weights(backbone, path)
    assert set(report.loaded) == encoder.keys() and report.licence == "none"
    assert all(torch.equal(value, state[name]) for name, value in backbone.state_dict().items())
    detector = new_run()
    detector("MODEL.WEIGHTS", str(path), "SOLVER.MAX_ITER", "1", "SOLVER.BASE_LR", "0.0", "MODEL.HIERA.NUM_HEADS", "1")
    trained = {k.partition("bottom_up.")[2]: v for k, v in detector.checkpoint()["model"].items() if "bottom_up" in k}
    assert all(torch.equal(trained[name], value) for name, value in encoder.items())
    assert "the decoder of MAE" in detector.log
    classifier = hiera_det.build_hiera("hiera_tiny_224", num_classes=3, **small)
    assert hiera_det.load_weights(classifier, path).missing == ["head.projection.bias", "head.projection.weight"]


def test_its_features_are_extracted(pretrained, datasets_root, tmp_path):
    keys = ["MODEL.HIERA.NAME", "hiera_tiny_224", "MODEL.HIERA.EMBED_DIM", "8", "MODEL.HIERA.STAGES", "[1,1,1,1]"]
    folder = ["--input", str(datasets_root / "shapes" / "val"), "--output", str(tmp_path / "store")]
    weights = ["--weights", str(pretrained.folder / "model_final.pth"), "MODEL.HIERA.POS_EMBED", "absolute_win"]
    extract(
        ["--config", "features_hiera_b", *folder, *weights, *keys, "MODEL.DEVICE", "cpu", "DATALOADER.NUM_WORKERS", "0"]
    )
    assert len(list((tmp_path / "store").glob("*.safetensors"))) == 1


def test_it_predicts_nothing(pretrained):
    with pytest.raises(ValueError, match=r"a model of pretraining detects nothing: name it as MODEL\.WEIGHTS"):
        hiera_det.load(pretrained.folder / "model_final.pth")


# --- what it is given


@pytest.fixture
def pretrain_on(new_pretraining_run, tmp_path):
    """``pretrain_on(words)``: the command, a single iteration."""
    config = new_pretraining_run().config

    def run(*words: str):
        keys = ["SOLVER.MAX_ITER", "1", "VIS_PERIOD", "0"]
        pretrain.main(["--config", str(config), "--output", str(tmp_path / "out"), *keys, *words])
        return tmp_path / "out"

    return run


def test_inputs_are_those_of_extraction(pretrain_on, datasets_root):
    shapes = datasets_root / "shapes"
    for word in (shapes / "annotations" / "instances_train.json", shapes / "train" / "*2.jpg"):
        folder = pretrain_on(
            "--input", str(word), "--test-input", str(shapes / "val"), "--image-root", str(shapes / "train")
        )
        assert (folder / "model_final.pth").is_file()
        config = yaml.safe_load((folder / "config.yaml").read_text())
        assert config["DATASETS"]["TRAIN"] == [str(word)] and config["DATASETS"]["TEST"] == [str(shapes / "val")]


def test_tars(pretrain_on, datasets_root, tmp_path):
    with tarfile.open(tmp_path / "shapes.tar", "w") as tar:
        tar.add(datasets_root / "shapes" / "train", ".")
    pretrain_on("--input", str(tmp_path / "shapes.tar"))


def test_epochs(pretrain_on, datasets_root):
    folder = pretrain_on(
        "--input", str(datasets_root / "shapes" / "train"), "SOLVER.MAX_EPOCHS", "1.2", "SOLVER.MAX_ITER", "0"
    )
    assert len((folder / "metrics.json").read_text().splitlines()) == 3  # 10 images, steps of 2 with 2 crops each
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["SOLVER"]["MAX_ITER"] == 3


def test_what_cannot_be_read_is_listed(pretrain_on, datasets_root, tmp_path):
    photos = tmp_path / "photos"
    shutil.copytree(datasets_root / "shapes" / "train", photos)
    content = (photos / "000001.jpg").read_bytes()
    (photos / "000001.jpg").write_bytes(content[: len(content) // 2])
    (photos / "000002.jpg").write_text("no image")
    words = ["SOLVER.IMS_PER_BATCH", "10", "SOLVER.WARMUP_ITERS", "0"]
    folder = pretrain_on("--input", str(photos), "--test-input", str(photos), *words)
    for path in folder / "failed.csv", folder / "inference" / "failed.csv":
        found = rows(path)
        assert found[0] == ["item", "reason"] and [name for name, _ in found[1:]] == ["000001.jpg", "000002.jpg"]
    metrics = json.loads((folder / "inference" / "metrics.json").read_text())
    assert (metrics["items"], metrics["failed"]) == (8, 2)


def test_nothing_readable_is_an_error(pretrain_on, tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(ValueError, match="no image in folder"):
        pretrain_on("--input", str(tmp_path / "photos"))
    (tmp_path / "photos" / "a.jpg").write_text("no image")
    with pytest.raises(ValueError, match="20 items in a row cannot be read"):
        pretrain_on("--input", str(tmp_path / "photos"))


def test_a_config_of_another_task_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is a config of the task 'detection'; expected one of 'pretraining'"):
        pretrain.main(["--config", "quickstart", "--input", str(tmp_path)])


def test_clips(pretrain_on, tmp_path):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (20, 8, 12, 3), np.uint8).repeat(8, 1).repeat(8, 2)  # 64 x 96
    for name in "ab":
        (tmp_path / "videos").mkdir(exist_ok=True)
        write_video(tmp_path / "videos" / f"{name}.mp4", ((i / 10, frame) for i, frame in enumerate(frames)))
    words = ["MODEL.HIERA.NAME", "hiera_base_16x224", "INPUT.NUM_FRAMES", "4", "MODEL.MAE.MASK_RATIO", "0.75"]
    videos = str(tmp_path / "videos")
    folder = pretrain_on("--input", videos, "--test-input", videos, "--every", "1", *words, "VIS_PERIOD", "1")
    assert [name for name, _ in rows(folder / "inference" / "results.csv")[1:]] == [
        f"{name}.mp4@{time}" for name in "ab" for time in ("0.500", "1.500")
    ]
    video = cv2.VideoCapture(str(folder / "inference" / "pictures" / "clip_000.mp4"))
    assert int(video.get(cv2.CAP_PROP_FRAME_COUNT)) == 2  # the first frame of each token
    backbone = hiera_det.HieraBackbone("hiera_base_16x224", layout="released", embed_dim=8, stages=(1, 1, 1, 1))
    assert len(hiera_det.load_weights(backbone, folder / "model_final.pth").loaded) == len(backbone.state_dict())
    strip = cv2.imread(str(folder / "pictures" / "0000000.png"))
    assert strip.shape[0] == 4 * 2 * (256 + 26)  # two clips with two crops each, two frames of each
