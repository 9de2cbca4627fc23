"""What a run was trained on stands in its config, also where the files were given on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from hiera_det.cli.evaluate import main as evaluate
from hiera_det.utils.files import file_sum


@pytest.fixture
def own_files(datasets_root) -> list[str]:
    shapes = datasets_root / "shapes"
    jsons = [str(shapes / "annotations" / f"instances_{split}.json") for split in ("train", "val")]
    return ["--dataset-json", *jsons, "--image-root", str(shapes / "train"), str(shapes / "val")]


SHORT = ["SOLVER.MAX_ITER", "2", "SOLVER.CHECKPOINT_PERIOD", "1"]


def test_the_config_repeats_the_run(run, new_run, own_files, monkeypatch, tmp_path):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))  # found by their paths alone
    run(*own_files, *SHORT)
    config = yaml.safe_load((run.folder / "config.yaml").read_text())["DATASETS"]
    assert config["TRAIN"] == ["instances_train"] and config["TEST"] == ["instances_val"]
    assert config["FILES"] == [
        ["instances_train", own_files[1], own_files[4]],
        ["instances_val", own_files[2], own_files[5]],
    ]
    assert dict(config["SHA256"])["instances_train"] == file_sum(Path(own_files[1]))
    assert f"data instances_train: {own_files[1]}, images in {own_files[4]}, SHA-256 " in run.log

    again = new_run()
    again.config = run.folder / "config.yaml"
    again()
    assert again.losses == run.losses

    (run.folder / "last_checkpoint").write_text("model_0000000.pth")
    run("--resume", *SHORT)  # without the files
    assert again.losses == run.losses

    metrics = (run.folder / "inference" / "metrics.json").read_text()
    evaluate(["--backend", "torchvision", "--weights", str(run.folder), "--output", str(tmp_path / "evaluation")])
    assert (tmp_path / "evaluation" / "inference" / "metrics.json").read_text() == metrics


def test_files_of_one_name_in_two_folders(run, datasets_root, tmp_path):
    shapes, words = datasets_root / "shapes", []
    for split in "train", "val":
        (tmp_path / split).mkdir()
        content = (shapes / "annotations" / f"instances_{split}.json").read_text()
        (tmp_path / split / "labels.json").write_text(content)
        words.append(str(tmp_path / split / "labels.json"))
    run("--dataset-json", *words, "--image-root", str(shapes / "train"), str(shapes / "val"), *SHORT)
    config = yaml.safe_load((run.folder / "config.yaml").read_text())["DATASETS"]
    assert config["TRAIN"] == ["labels_train"] and config["TEST"] == ["labels_test"]


@pytest.mark.parametrize("files", ["nonsense", [["a", "b"]], [["a", "b", 3]]])
def test_files_of_another_kind(run, files):
    with pytest.raises(ValueError, match=r"DATASETS\.FILES"):
        run("DATASETS.FILES", repr(files), *SHORT)
