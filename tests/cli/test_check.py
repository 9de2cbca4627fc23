"""hiera-det check: all that is wrong with a set, in one go."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from hiera_det.cli.check import main


@pytest.fixture
def flags(datasets_root):
    folder = datasets_root / "shapes"
    jsons = [str(folder / "annotations" / f"instances_{split}.json") for split in ("train", "val")]
    return ["--dataset-json", *jsons, "--image-root", str(folder / "train"), str(folder / "val")]


def test_a_sound_set(flags, capsys):
    main([*flags, "INPUT.MASK_FORMAT", "bitmask"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ok       instances_train (train): 10 images")
    assert lines[-1] == "0 problems"


def test_a_set_spoilt_in_ten_ways(datasets_root, tmp_path, capsys):
    shapes = datasets_root / "shapes"
    content = json.loads((shapes / "annotations" / "instances_val.json").read_text())
    first, second, *others = content["annotations"]
    first["segmentation"] = {"size": [64, 64], "counts": [5]}  # 1: does not add up
    second["bbox"] = [1, 2, 3]  # 2: three numbers
    others[0]["image_id"] = 999  # 3: no such image
    others[1]["category_id"] = 77  # 4: no such class
    others[2]["id"] = others[3]["id"]  # 5: twice
    others[4]["segmentation"] = [["a"] * 6]  # 6: text
    names = [image["file_name"] for image in content["images"]]
    for name in names[1:]:
        (tmp_path / name).write_bytes((shapes / "val" / name).read_bytes())  # 7: the first is missing
    (tmp_path / names[1]).write_bytes(b"no image")  # 8
    Image.new("RGB", (32, 32)).save(tmp_path / names[2])  # 9: another size
    content["categories"][0]["name"] = "disc"  # 10: another class than in training
    (tmp_path / "val.json").write_text(json.dumps(content))
    train = [str(shapes / "annotations" / "instances_train.json"), str(tmp_path / "val.json")]
    sizes = ["INPUT.MASK_FORMAT", "bitmask"]
    with pytest.raises(SystemExit) as ended:
        main(["--dataset-json", *train, "--image-root", str(shapes / "train"), str(tmp_path), *sizes])
    assert ended.value.code == 1
    out = capsys.readouterr().out
    found = [line for line in out.splitlines() if line.startswith("problem ")]
    assert len(found) == 10 and out.splitlines()[-1] == "10 problems"
    for part in ("add up to 5", "'bbox' is [1, 2, 3]", "image_id 999", "category_id 77", "this id occurs twice"):
        assert any(part in line for line in found), part
    for part in ("'segmentation' is not", "are not there", "cannot be read", "another size", "different classes"):
        assert any(part in line for line in found), part


def test_images_larger_than_the_square(flags, capsys):
    with pytest.raises(SystemExit):
        main([*flags, "INPUT.MASK_FORMAT", "bitmask", "INPUT.MAX_SIZE_TEST", "2000", "INPUT.MIN_SIZE_TEST", "2000"])
    out = capsys.readouterr().out
    assert "5 of 5 images are up to 2000 pixels long after INPUT.MIN_SIZE_TEST 2000" in out
    assert "does not fit MODEL.HIERA.SQUARE_PAD 1024: lower INPUT.MAX_SIZE_TEST" in out


def test_the_files_of_an_action_run(mini_ava, capsys):
    words = ["--config", "ava/quickstart", "DATASETS.ROOT", str(mini_ava)]
    main(words)
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "0 problems"
    assert "first and last keyframe of 6 annotated videos decoded" in out
    assert "first and last keyframe of 5 annotated videos decoded" in out
    with pytest.raises(SystemExit):
        main([*words, "DATASETS.LABEL_MAP", "annotations/none.pbtxt"])
    assert "none.pbtxt" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("TEST.METRICS", "['LVIS']", "TEST.METRICS names LVIS, but"),
        ("INPUT.MASK_FORMAT", "foo", "INPUT.MASK_FORMAT is 'foo'"),
        ("INPUT.FORMAT", "XYZ", "INPUT.FORMAT is 'XYZ'"),
    ],
)
def test_a_config_that_the_data_do_not_suit(flags, capsys, key, value, message):
    words = {"INPUT.MASK_FORMAT": "bitmask", key: value}
    with pytest.raises((SystemExit, ValueError)) as ended:
        main([*flags, *(word for pair in words.items() for word in pair)])
    assert message in capsys.readouterr().out + str(ended.value)
