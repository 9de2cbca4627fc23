"""Config keys behind options that take several words."""

from __future__ import annotations

import pytest

from hiera_det.cli import extract, train

DATA = ["--dataset-json", "a.json", "b.json", "--image-root", "images"]


@pytest.mark.parametrize(
    "words",
    [
        [*DATA, "SOLVER.MAX_ITER", "3", "SEED", "1"],
        ["SOLVER.MAX_ITER", "3", "SEED", "1", *DATA],
        [*DATA[:3], "SOLVER.MAX_ITER", "3", *DATA[3:], "SEED", "1"],
        [*DATA, "--resume", "SOLVER.MAX_ITER", "3", "SEED", "1"],
    ],
)
def test_training(words):
    args = train.parse(["--backend", "torchvision", "--config", "quickstart", *words])
    assert (args.dataset_json, args.image_root) == (["a.json", "b.json"], ["images"])
    pairs = list(zip(args.overrides[::2], args.overrides[1::2], strict=True))
    assert sorted(pairs) == [("SEED", "1"), ("SOLVER.MAX_ITER", "3")]


def test_a_folder_with_the_name_of_a_node_is_no_key():
    args = train.parse(
        ["--backend", "torchvision", "--config", "quickstart", "--dataset-json", "MODEL", "--image-root", "INPUT"]
    )
    assert (args.dataset_json, args.image_root) == (["MODEL"], ["INPUT"])


def test_keys_of_detectron2_alone():
    pytest.importorskip("detectron2", reason="needs detectron2")
    args = train.parse(["--backend", "detectron2", "--config", "quickstart", *DATA, "MODEL.RETINANET.NUM_CLASSES", "4"])
    assert args.image_root == ["images"]
    assert args.overrides == ["MODEL.RETINANET.NUM_CLASSES", "4"]


@pytest.mark.parametrize("words", [["a", "b", "c", "--image-root", "i"], ["a", "--image-root", "i", "j"], ["a"]])
def test_files_and_folders_that_do_not_fit(words, capsys):
    with pytest.raises(SystemExit):
        train.parse(["--backend", "torchvision", "--config", "quickstart", "--dataset-json", *words])
    assert "--dataset-json takes one or two files" in capsys.readouterr().err


def test_extraction():
    words = ["--input", "a.jpg", "photos", "DATALOADER.BATCH_SIZE", "4"]
    args = extract.parse(["--config", "x.yaml", "--output", "features", *words])
    assert args.input == ["a.jpg", "photos"]
    assert args.overrides == ["DATALOADER.BATCH_SIZE", "4"]


def test_extraction_of_nothing(capsys):
    with pytest.raises(SystemExit):
        extract.parse(["--config", "x.yaml", "--output", "features", "--input", "DATALOADER.BATCH_SIZE", "4"])
    assert "--config and --input are needed" in capsys.readouterr().err
