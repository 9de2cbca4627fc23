"""Commands about files: info, configs, evaluate by the checkpoint alone, the quick start."""

from __future__ import annotations

import json
import re

import pytest
import torch

from hiera_det import build_hiera
from hiera_det.cli import configs, evaluate, info, predict, quickstart
from hiera_det.config import load_config, shipped_configs
from hiera_det.projects.ava.config import defaults as action_defaults
from hiera_det.tasks import defaults_of, task_of

BASES = ("base_rcnn_fpn", "base_finetune", "base_sam2", "base_mae", "ava/base")


def shown(source, capsys) -> dict[str, str]:
    capsys.readouterr()
    info.main([str(source)])
    return dict(re.split("  +", line, maxsplit=1) for line in capsys.readouterr().out.splitlines())


def test_info_of_a_run(trained, capsys):
    found = shown(trained.folder, capsys)
    assert list(found) == [
        *("file", "task", "model", "classes", "iteration", "metrics", "written by"),
        *("format", "parameters", "size", "licence"),
    ]
    assert found["task"] == "detection" and found["classes"] == "4: circle, square, triangle, star"
    assert found["model"] == "hiera_tiny_224, layout windowed, GeneralizedRCNN StandardROIHeads with masks"
    assert found["iteration"].startswith("5 ") and re.match(r"bbox/AP [\d.]+, bbox/AP50 ", found["metrics"])
    assert found["licence"] == "none noted: trained from scratch" and re.fullmatch(r"[\d.]+ MiB", found["size"])
    assert shown(trained.folder / "model_0000002.pth", capsys)["iteration"].startswith("2 ")


def test_info_of_other_files(tmp_path, capsys, trained):
    model = build_hiera("hiera_tiny_224", num_classes=7)
    torch.save({"model_state": model.state_dict()}, tmp_path / "classes.pth")
    found = shown(tmp_path / "classes.pth", capsys)
    assert (found["task"], found["model"], found["classes"]) == ("classification", "hiera_tiny_224", "7")
    assert found["format"] == "original" and found["licence"].startswith("not known")
    torch.save({"model": trained.checkpoint()["model"]}, tmp_path / "old.pth")
    old = shown(tmp_path / "old.pth", capsys)
    assert old["classes"] == "not named" and "0.1.0" in old["written by"] and "metrics" not in old
    with pytest.raises(ValueError, match="no Hiera"):
        torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
        info.main([str(tmp_path / "other.pth")])


def test_configs_are_listed_and_copied(tmp_path, capsys):
    configs.main([])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(shipped_configs())
    assert all(len(line.split()) > 3 for line in lines)
    configs.main(["--copy", str(tmp_path / "all")])
    names = {str(path.relative_to(tmp_path / "all")) for path in (tmp_path / "all").rglob("*.yaml")}
    assert names == {f"{name}.yaml" for name in [*shipped_configs(), *BASES]}
    for name, path in shipped_configs().items():
        defaults = action_defaults() if name.startswith("ava/") else defaults_of(task_of(path))
        if not name.startswith("features"):
            assert load_config(tmp_path / "all" / f"{name}.yaml", (), defaults) == load_config(path, (), defaults)
    configs.main(["mask_rcnn_hiera_b", "--copy", str(tmp_path / "one")])
    assert {path.name for path in (tmp_path / "one").iterdir()} == {"mask_rcnn_hiera_b.yaml", "base_rcnn_fpn.yaml"}


def test_configs_that_cannot_be_copied(tmp_path):
    with pytest.raises(ValueError, match="no shipped config is called mine; there are "):
        configs.main(["mine"])
    (tmp_path / "base_rcnn_fpn.yaml").write_text("changed")
    with pytest.raises(FileExistsError, match=r"base_rcnn_fpn\.yaml is there already and differs"):
        configs.main(["quickstart", "--copy", str(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["base_rcnn_fpn.yaml"]


def test_evaluation_needs_the_weights_alone(trained, datasets_root, tmp_path):
    expected = json.loads((trained.folder / "inference" / "metrics.json").read_text())
    weights = ["--weights", str(trained.folder / "model_final.pth"), "--backend", "torchvision"]
    evaluate.main([*weights, "--output", str(tmp_path / "a")])
    assert json.loads((tmp_path / "a" / "inference" / "metrics.json").read_text()) == expected
    val = datasets_root / "shapes" / "val"
    data = ["--dataset-json", str(val.parent / "annotations" / "instances_val.json"), "--image-root", str(val)]
    evaluate.main([*weights, *data, "TEST.DETECTIONS_PER_IMAGE", "1", "--output", str(tmp_path / "b")])
    results = json.loads((tmp_path / "b" / "inference" / "coco_instances_results.json").read_text())
    assert len(results) == len({result["image_id"] for result in results}) > 0


def test_prediction_needs_the_weights_alone(trained, datasets_root, tmp_path):
    words = ["--weights", str(trained.folder), "--input", str(datasets_root / "shapes" / "val")]
    predict.main([*words, "--output", str(tmp_path / "out"), "--score-threshold", "0", "MODEL.DEVICE", "cpu"])
    assert len(list((tmp_path / "out").glob("*.jpg"))) == 5
    with pytest.raises(ValueError, match="name their folder, --output"):
        predict.main(words)


def test_the_quick_start_in_miniature(tmp_path, monkeypatch, capsys, config_file):
    monkeypatch.chdir(tmp_path)
    schedule = ["SOLVER.MAX_ITER", "2", "SOLVER.STEPS", "[]", "SOLVER.WARMUP_ITERS", "1"]
    small = [*schedule, "VIS_PERIOD", "0", "MODEL.HIERA.EMBED_DIM", "16"]
    quickstart.main(["--num-train", "8", "--num-val", "3", *small])
    assert "drawn predictions in output/quickstart/predictions" in capsys.readouterr().out
    output = tmp_path / "output" / "quickstart"
    assert (output / "model_final.pth").is_file() and (output / "inference" / "metrics.json").is_file()
    assert len(list((output / "predictions").glob("*.jpg"))) == 3
    quickstart.main(["--num-train", "8", "--num-val", "3", *small])  # the dataset is there already
