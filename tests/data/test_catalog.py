from __future__ import annotations

import pytest

from hiera_det.data.catalog import custom_dataset, resolve_dataset


def _layout(root, json_file, folder):
    (root / json_file).parent.mkdir(parents=True, exist_ok=True)
    (root / json_file).write_text("{}")
    (root / folder).mkdir(parents=True)


@pytest.mark.parametrize(
    ("name", "json_file", "folder"),
    [
        ("coco_2017_train", "coco/annotations/instances_train2017.json", "coco/train2017"),
        ("coco_2017_val", "coco/annotations/instances_val2017.json", "coco/val2017"),
        ("shapes_train", "shapes/annotations/instances_train.json", "shapes/train"),
        ("shapes_val", "shapes/annotations/instances_val.json", "shapes/val"),
    ],
)
def test_names_stand_for_detectron2s_layout(tmp_path, monkeypatch, name, json_file, folder):
    _layout(tmp_path, json_file, folder)
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    files = resolve_dataset(name)
    assert (files.name, files.json_file, files.image_root) == (name, tmp_path / json_file, tmp_path / folder)


def test_default_root_is_datasets(tmp_path, monkeypatch):
    monkeypatch.delenv("DETECTRON2_DATASETS", raising=False)
    monkeypatch.chdir(tmp_path)
    _layout(tmp_path / "datasets", "shapes/annotations/instances_val.json", "shapes/val")
    assert resolve_dataset("shapes_val").json_file.is_file()


def test_unknown_name_lists_the_known():
    with pytest.raises(ValueError, match=r"'lvis'.*coco_2017_val.*--dataset-json"):
        resolve_dataset("lvis")


def test_missing_shapes_says_how_to_make_them(tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    with pytest.raises(FileNotFoundError) as error:
        resolve_dataset("shapes_train")
    text = str(error.value)
    assert str(tmp_path / "shapes/annotations/instances_train.json") in text
    assert f"DETECTRON2_DATASETS is {tmp_path}" in text
    assert "hiera-det make-shapes --output $DETECTRON2_DATASETS/shapes" in text
    assert "--dataset-json and --image-root" in text


def test_missing_image_folder_is_named(tmp_path):
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"no image folder at .*nowhere.*--image-root"):
        custom_dataset(tmp_path / "x.json", tmp_path / "nowhere")
