"""--data: a folder of any format is checked, trained on, resumed and evaluated."""

from __future__ import annotations

import json
import re

import pytest
import yaml

import hiera_det
from hiera_det.cli.check import main as check
from hiera_det.cli.evaluate import main as evaluate
from hiera_det.data.catalog import custom_dataset
from hiera_det.datasets.recognise import read_dataset
from hiera_det.datasets.writers import write_dataset


@pytest.fixture(scope="module", params=["yolo", "voc"])
def data(request, datasets_root, tmp_path_factory):
    """The shapes, with masks or boxes alone, in two splits."""
    folder = tmp_path_factory.mktemp("data")
    files = {"train": ("train", "train"), "test" if request.param == "voc" else "val": ("val", "val")}
    shapes = datasets_root / "shapes"
    splits = {
        name: custom_dataset(shapes / "annotations" / f"instances_{json_name}.json", shapes / images)
        for name, (json_name, images) in files.items()
    }
    write_dataset(splits, folder / "shapes", request.param)
    return folder / "shapes"


SHORT = ["SOLVER.MAX_ITER", "2", "SOLVER.CHECKPOINT_PERIOD", "1"]


def test_a_run_on_a_folder(run, data, capsys):
    has_masks = read_dataset(data).file_format == "YOLO"
    run("--data", str(data), *SHORT)
    cfg = yaml.safe_load((run.folder / "config.yaml").read_text())
    assert cfg["MODEL"]["MASK_ON"] == has_masks
    (train, test) = cfg["DATASETS"]["FILES"]
    assert train[0] == "train" and re.fullmatch(r".*/output/data/train-[0-9a-f]{8}\.json", train[1])
    assert len(json.loads((run.folder / "data" / train[1].rpartition("/")[2]).read_text())["images"]) == 10
    assert test[0] == ("val" if has_masks else "test")
    metrics = json.loads((run.folder / "inference" / "metrics.json").read_text())
    assert metrics["dataset"] == test[0] and ("segm" in metrics) == has_masks
    before = {path.name: path.read_bytes() for path in (run.folder / "data").iterdir()}
    run("--data", str(data), "--resume", "SOLVER.MAX_ITER", "3", "SOLVER.CHECKPOINT_PERIOD", "1")
    assert len(run.losses) == 3
    assert {path.name: path.read_bytes() for path in (run.folder / "data").iterdir()} == before
    evaluate(["--backend", "torchvision", "--weights", str(run.folder), "--data", str(data)])
    assert json.loads((run.folder / "inference" / "metrics.json").read_text())["dataset"] == test[0]
    found = hiera_det.evaluate(run.folder, data=data)
    assert "bbox/AP" in found


def test_other_data_are_no_resume(run, data):
    run("--data", str(data), *SHORT)
    files = sorted((run.folder / "data").iterdir())
    labels = next(
        path for path in sorted(data.rglob("*")) if path.suffix in (".txt", ".xml") and path.parent.name != "Main"
    )
    text = labels.read_text()
    try:
        labels.write_text("" if labels.suffix == ".txt" else "<annotation/>")
        with pytest.raises(ValueError, match=r"--resume: this config is not that of|DATASETS\.SHA256"):
            run("--data", str(data), "--resume", "SOLVER.MAX_ITER", "3")
    finally:
        labels.write_text(text)
    assert set(files) <= set((run.folder / "data").iterdir())


def test_check(data, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    check([str(data)])
    out = capsys.readouterr().out
    first = "YOLO" if (data / "data.yaml").exists() else "Pascal VOC"
    assert out.startswith(f"{data}: {first}\n  train: 10 images, ")
    assert out.splitlines()[-1] == "0 problems" and "circle" in out
    assert not list(tmp_path.iterdir())  # nothing is left behind
    check(["--data", str(data), "INPUT.MAX_SIZE_TEST", "1024"])
    with pytest.raises(SystemExit) as ended:
        check([str(data), "MODEL.ROI_HEADS.NUM_CLASSES", "7"])
    assert ended.value.code == 1 and "4 categories, but MODEL.ROI_HEADS.NUM_CLASSES is 7" in capsys.readouterr().out


def test_what_does_not_go_with_data(run, data, datasets_root, capsys):
    with pytest.raises(SystemExit):
        run("--data", str(data), "--dataset-json", "x.json", "--image-root", str(datasets_root))
    assert "--data names all of the data" in capsys.readouterr().err
    with pytest.raises(FileNotFoundError, match="there is no data at nowhere"):
        run("--data", "nowhere")
    with pytest.raises(ValueError, match="--data is for detectors; this is a config of the task 'actions'"):
        hiera_det.train("ava/quickstart", data=data)
    assert not run.folder.exists()
