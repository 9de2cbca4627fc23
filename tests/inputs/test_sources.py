from __future__ import annotations

import json
import os
import tarfile

import pytest

from hiera_det.inputs.items import Item
from hiera_det.inputs.sources import Finder

IMAGES = ["b.jpg", "a/z.PNG", "a/c/1.tiff", "a-b.jpeg"]
OTHERS = ["a/film.mp4", "notes.md", "a/labels.csv", "Makefile"]


@pytest.fixture
def tree(tmp_path):
    """A folder of empty files."""
    for name in IMAGES + OTHERS:
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path / "tree"


def _find(source, *, video=False, image_root=None, coco_boxes=False):
    return list(Finder(video, image_root, coco_boxes).find(str(source)))


def _ids(*args, **options):
    return [item.id for item in _find(*args, **options)]


def test_a_folder(tree):
    assert _ids(tree) == ["a-b.jpeg", "a/c/1.tiff", "a/z.PNG", "b.jpg"]
    assert _find(tree)[1] == Item("a/c/1.tiff", str(tree / "a" / "c" / "1.tiff"))
    assert _ids(f"{tree}/") == _ids(tree)
    assert _ids(tree, video=True) == ["a/film.mp4"]


def test_paths_become_absolute(tree, monkeypatch):
    monkeypatch.chdir(tree)
    assert [item.path for item in _find("a")] == [str(tree / "a" / "c" / "1.tiff"), str(tree / "a" / "z.PNG")]
    assert _ids(".") == _ids(tree)
    assert _find("b.jpg") == [Item("b.jpg", str(tree / "b.jpg"))]
    assert _find("*/*.PNG") == [Item("a/z.PNG", str(tree / "a" / "z.PNG"))]


def test_links_are_followed_but_not_in_circles(tree, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "o.jpg").write_bytes(b"")
    (tree / "link").symlink_to(tmp_path / "other")
    (tmp_path / "other" / "back").symlink_to(tree)
    (tree / "a" / "self").symlink_to(tree / "a")
    assert _ids(tree) == ["a-b.jpeg", "a/c/1.tiff", "a/z.PNG", "b.jpg", "link/o.jpg"]


def test_a_dangling_link_is_an_item(tree):
    (tree / "gone.jpg").symlink_to("nowhere.jpg")
    assert "gone.jpg" in _ids(tree)


def test_a_folder_without_images(tree, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no image in folder .*empty; looked for \.jpg .*; there is: nothing"):
        _find(tmp_path / "empty")
    for name in IMAGES:
        (tree / name).unlink()
    with pytest.raises(ValueError, match=r"there is: 1 no ending, 1 \.mp4, 1 \.csv, 1 \.md$"):
        _find(tree)


@pytest.mark.parametrize(
    ("pattern", "ids"),
    [
        ("*.jp*g", ["a-b.jpeg", "b.jpg"]),
        ("**/*", ["a-b.jpeg", "a/c/1.tiff", "a/z.PNG", "b.jpg"]),
        ("**/**/1.*", ["a/c/1.tiff"]),
        ("a/*/*.tif*", ["c/1.tiff"]),  # relative to the folders before the first wildcard
        ("a/[z].PNG", ["z.PNG"]),
        ("?.jpg", ["b.jpg"]),
    ],
)
def test_globs(tree, pattern, ids):
    (tree / "folder.jpg").mkdir()
    items = _find(tree / pattern)
    assert [item.id for item in items] == ids
    assert all(os.path.isfile(item.path) for item in items)


def test_a_glob_without_matches(tree):
    with pytest.raises(FileNotFoundError, match=r"no file matches .*\*\.webp; \*\* stands for"):
        _find(tree / "*.webp")
    with pytest.raises(ValueError, match=r"no image in .*\*\.md; .*there is: 1 \.md"):
        _find(tree / "*.md")


def test_a_name_with_brackets_is_no_glob(tree):
    (tree / "x[1].jpg").write_bytes(b"")
    assert _ids(tree / "x[1].jpg") == ["x[1].jpg"]


@pytest.mark.parametrize(
    ("name", "video", "message"),
    [
        ("a/film.mp4", False, r"film\.mp4 is a video by its name, but images are wanted"),
        ("b.jpg", True, r"b\.jpg is an image by its name, but videos are wanted"),
        (
            "notes.md",
            False,
            r"notes\.md is no image by its name; .* \.jpg .* \.txt, .* \.json, .* \.tar$",
        ),
        ("notes.md", True, r"notes\.md is no video by its name; endings of videos: [. \w]*; of a list \.txt$"),
    ],
)
def test_a_file_of_another_kind(tree, name, video, message):
    with pytest.raises(ValueError, match=message):
        _find(tree / name, video=video)


def test_a_missing_input(tree):
    with pytest.raises(FileNotFoundError, match=r"no file or folder at .*nothing$"):
        _find(tree / "nothing")


def test_a_pipe_is_no_input(tree):
    os.mkfifo(tree / "pipe.txt")
    with pytest.raises(ValueError, match=r"input .*pipe\.txt: it is a named pipe, expected a file"):
        _find(tree / "pipe.txt")


def test_a_list(tree):
    (tree / "a" / "list.txt").write_bytes(b"\xef\xbb\xbf../b.jpg\r\n\r\n# z.PNG\n  c/1.tiff \ngone.jpg\n")
    items = _find(tree / "a" / "list.txt")
    assert [item.id for item in items] == ["../b.jpg", "c/1.tiff", "gone.jpg"]
    assert os.path.samefile(items[0].path, tree / "b.jpg")
    assert items[1].path == str(tree / "a" / "c" / "1.tiff")
    (tree / "list.txt").write_text(f"{tree}/b.jpg")
    assert _find(tree / "list.txt") == [Item(f"{tree}/b.jpg", str(tree / "b.jpg"))]


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"# b.jpg\n\n", ValueError, r"list\.txt names no image; expected a path per line"),
        (b"b.jpg\na/film.mp4\n", ValueError, r"list\.txt, line 2: a/film\.mp4 is a video by its name"),
        (b"b.jpg 3\n", ValueError, r"line 1: b\.jpg 3 is no image by its name"),
        (b"s.tar\n", ValueError, r"line 1: s\.tar is no image .*: \.jpg [. \w]*; a list names nothing else$"),
        (b"b.jpg\na\xff.jpg\n", ValueError, r"list\.txt, line 2: not UTF-8"),
        (b"x.jpg\ny.jpg\n", FileNotFoundError, r"none of the 2 files of .*list\.txt, whose paths start from .*x\.jpg"),
    ],
)
def test_a_bad_list(tree, content, error, message):
    (tree / "list.txt").write_bytes(content)
    with pytest.raises(error, match=message):
        _find(tree / "list.txt")


@pytest.fixture
def coco(tmp_path):
    """Writes instances_val.json beside a folder of its images."""

    def _write(content):
        for folder in ("annotations", "val", "elsewhere"):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "a.jpg").write_bytes(b"")
        path = tmp_path / "annotations" / "instances_val.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return _write


COCO = {
    "images": [
        {"id": 20, "file_name": "b.jpg", "height": 10, "width": 20},
        {"id": 3, "file_name": "a.jpg", "height": 10, "width": 20},
    ],
    "categories": [{"id": 1, "name": "kite"}],
    "annotations": [
        {"id": 1, "image_id": 20, "category_id": 1, "bbox": [1, 2, 3, 4]},
        {"id": 2, "image_id": 20, "category_id": 1, "bbox": [0, 0, 20, 10], "iscrowd": 1},
        {"id": 3, "image_id": 20, "category_id": 1, "bbox": [15, 5, 8, 2]},
    ],
}


def test_coco(coco, tmp_path):
    path = coco({"images": COCO["images"]})  # as of test sets, without annotations
    assert _find(path) == [Item("3", str(tmp_path / "val" / "a.jpg")), Item("20", str(tmp_path / "val" / "b.jpg"))]
    assert _find(path, image_root=tmp_path / "elsewhere")[0].path == str(tmp_path / "elsewhere" / "a.jpg")


def test_boxes_of_coco(coco):
    first, second = _find(coco(COCO), coco_boxes=True)
    assert (first.id, first.boxes) == ("3", ())
    assert (second.id, second.boxes) == ("20", ((1.0, 2.0, 4.0, 6.0), (15.0, 5.0, 20.0, 7.0)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"instances_val\.json: not a JSON file"),
        ([], "expected an object with images; got a list"),
        ({"images": []}, "'images' is empty, expected at least one"),
        (
            {"images": [{"id": 1, "file_name": "a.jpg"}, {"id": "two", "file_name": "b.jpg"}]},
            "image number 1: field 'id' is 'two', expected int",
        ),
        ({"images": [{"id": 1}]}, "image number 0: image 1: field 'file_name' is missing"),
    ],
)
def test_a_bad_coco_file(coco, content, message):
    with pytest.raises(ValueError, match=message):
        _find(coco(content))


def test_images_of_coco_that_are_not_there(coco, tmp_path):
    path = coco(COCO)
    (tmp_path / "val" / "a.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"none of the 2 files of .*instances_val\.json, .*looked for in .*val"):
        _find(path)
    (tmp_path / "val").rmdir()
    with pytest.raises(FileNotFoundError, match=r"no folder with the images of .* at .*val; name it as the image root"):
        _find(path)


def test_coco_has_no_videos(coco):
    with pytest.raises(ValueError, match="is a COCO file of images, but videos are wanted"):
        _find(coco(COCO), video=True)


@pytest.fixture
def shards(tree):
    """s-0.tar with b.jpg and s-1.tar with a/z.PNG."""
    for number, name in enumerate(IMAGES[:2]):
        with tarfile.open(tree / f"s-{number}.tar", "w") as tar:
            tar.add(tree / name, name)
    return tree


def test_tars(shards):
    assert _ids(shards / "s-{0..1}.tar") == ["b.jpg", "a/z.PNG"]
    assert _ids(shards / "s-?.tar") == ["b.jpg", "a/z.PNG"]
    assert _ids(f"{shards.parent}/t*/s-{{1..1}}.tar") == ["a/z.PNG"]
    assert _find(shards / "s-0.tar")[0].path == str(shards / "s-0.tar")
    with pytest.raises(FileNotFoundError, match=r"no file or folder at .*s-2\.tar"):
        _find(shards / "s-{0..3}.tar")


@pytest.mark.parametrize("pattern", ["s-?.tar", "s-{0..1}.tar"])
def test_a_broken_tar_among_several(shards, pattern, caplog):
    (shards / "s-0.tar").write_bytes(b"no tar")
    assert _ids(shards / pattern) == ["a/z.PNG"]
    assert "left out: " in caplog.text and "s-0.tar" in caplog.text
    with pytest.raises(ValueError, match=r"s-0\.tar"):
        _find(shards / "s-0.tar")


def test_a_tar_cannot_give_videos(shards):
    with pytest.raises(ValueError, match=r"videos inside a tar file cannot be read; unpack it"):
        _find(shards / "s-0.tar", video=True)


@pytest.mark.parametrize("name", ["s.tar.gz", "s.tgz", "s.TAR.zst"])
def test_a_compressed_tar_by_its_name(tree, name):
    (tree / name).write_bytes(b"")
    with pytest.raises(ValueError, match=r"is a compressed tar file.*unpack it to a \.tar"):
        _find(tree / name)
    with pytest.raises(ValueError, match="videos inside a tar file cannot be read; unpack it and give the folder"):
        _find(tree / name, video=True)
