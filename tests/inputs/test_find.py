from __future__ import annotations

import os
from pathlib import Path

import pytest

from hiera_det.inputs import clips
from hiera_det.inputs.find import find_items
from hiera_det.inputs.reading import check_boxes, read_item


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """x/a.jpg, x/b.jpg, y/a.jpg, x/f.mp4, all empty; the working directory is above them."""
    for name in ("x/a.jpg", "x/b.jpg", "y/a.jpg", "x/f.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _ids(*args, **options):
    return [item.id for item in find_items(*args, **options)]


def test_inputs_keep_their_order(folders):
    assert _ids(["x"]) == ["a.jpg", "b.jpg"]
    assert _ids(["x/b.jpg", "y"]) == ["b.jpg", "a.jpg"]
    assert _ids(["."]) == ["x/a.jpg", "x/b.jpg", "y/a.jpg"]


def test_ids_that_come_twice(folders):
    with pytest.raises(ValueError, match=r"id 'a\.jpg' comes twice, from .*/x/a\.jpg and from .*/y/a\.jpg; give only"):
        find_items(["x", "y"])
    with pytest.raises(ValueError, match=r"id 'f\.mp4' comes twice"):
        find_items(["x", "x/f.mp4"], video=True, every=1)


def test_clips(folders, monkeypatch):
    monkeypatch.setattr(clips, "video_duration", lambda _: 3.0)
    assert _ids(["x"], video=True, every=2) == ["f.mp4@1.000"]
    with pytest.raises(ValueError, match=r"'f\.mp4@0\.005' comes twice, .*; give more seconds from clip to clip"):
        find_items(["x"], video=True, every=0.001)
    Path("t.csv").write_text("video_id,seconds\nf.mp4,9\n")
    assert _ids(["x"], video=True, times=Path("t.csv")) == ["f.mp4@9.000"]


def test_boxes(folders):
    Path("b.csv").write_text("id,x1,y1,x2,y2\nb.jpg,0,0,2,1\nb.jpg,1,1,3,3\n")
    first, second = find_items(["x"], boxes=Path("b.csv"))
    assert first.boxes == ()
    assert second.boxes == ((0.0, 0.0, 2.0, 1.0), (1.0, 1.0, 3.0, 3.0))
    with pytest.raises(ValueError, match=r"1 ids are not among the 1 items, such as 'b\.jpg'; .* like 'a\.jpg'"):
        find_items(["y"], boxes=Path("b.csv"))


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        ([], {}, "no input is given"),
        (["x"], {"video": True}, "need either the seconds between clips or a table"),
        (["x"], {"video": True, "every": 1, "times": Path("t.csv")}, "need either"),
        (["x"], {"every": 1}, "times of clips are given, but images are wanted"),
        (["x"], {"times": Path("t.csv")}, "times of clips are given"),
        (["x"], {"coco_boxes": True}, "boxes are to come from a COCO file, but none is among the inputs: x"),
        (["c.json"], {"coco_boxes": True, "boxes": Path("b.csv")}, "boxes come either from a table or from the COCO"),
    ],
)
def test_options(folders, inputs, options, message):
    with pytest.raises(ValueError, match=message):
        find_items(inputs, **options)


def test_a_name_that_is_not_utf_8(folders):
    with open(os.path.join(os.fsencode("y"), b"\xff.jpg"), "wb"):
        pass
    unreadable = []
    names = [item.id for item in find_items(["y"], unreadable=unreadable)]
    assert names and not any("udcff" in name for name in names)
    (line,) = unreadable
    assert r"the name '\udcff.jpg' is not in UTF-8" in line


def test_real_images(shared_data):
    coco = shared_data / "coco"
    by_folder = find_items([str(coco / "val2017")])
    by_json = find_items([str(coco / "annotations" / "instances_val2017.json")], coco_boxes=True)
    assert [item.path for item in by_folder] == [item.path for item in by_json]
    assert [int(Path(item.id).stem) for item in by_folder] == [int(item.id) for item in by_json]
    for item in by_json[:10]:
        height, width = read_item(item, max_pixels=None).shape[:2]
        assert len(check_boxes(item, height, width)) == len(item.boxes) > 0


def test_real_videos(shared_data):
    items = find_items([str(shared_data / "hiera")], video=True, every=2)
    assert [item.id for item in items] == ["dog.mp4@1.000", "dog.mp4@3.000", "goat.mp4@1.000", "goat.mp4@3.000"]
    assert read_item(items[0], max_pixels=None).shape == (16, 256, 256, 3)
