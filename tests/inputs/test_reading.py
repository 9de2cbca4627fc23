from __future__ import annotations

import io
import re
import tarfile
from fractions import Fraction
from functools import partial

import av
import numpy as np
import pytest
from PIL import Image

from hiera_det.inputs.items import Item
from hiera_det.inputs.reading import UnreadableItemError, check_boxes, read_item
from hiera_det.inputs.tars import images_of_tar

read = partial(read_item, max_pixels=None)
PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)


@pytest.fixture
def png(tmp_path):
    """PIXELS."""
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    return tmp_path / "a.png"


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Two seconds at 30 fps; frame i is of grey i * 4."""
    path = tmp_path_factory.mktemp("films") / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(30))
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        for index in range(60):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((32, 48, 3), 4 * index, np.uint8))))
        container.mux(stream.encode())
    return path


def test_an_image(png):
    pixels = read(Item("a", str(png)))
    np.testing.assert_array_equal(pixels, PIXELS)
    assert pixels.dtype == np.uint8
    assert pixels.flags.writeable  # torch warns about others


def test_a_clip(film):
    clip = read(Item("a@1.000", str(film), time=1.0), num_frames=4, rate=6)
    assert clip.shape == (4, 32, 48, 3)
    np.testing.assert_allclose(clip.mean(axis=(1, 2, 3)), [4 * index for index in (18, 24, 30, 36)], atol=3)
    assert read(Item("a@1.000", str(film), time=1.0)).shape == (16, 32, 48, 3)


@pytest.fixture
def tar(tmp_path, png):
    """Two images and a broken one."""
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        for name, image in (("x/1.png", PIXELS), ("x/2.png", 255 - PIXELS), ("x/3.jpg", None)):
            file = io.BytesIO()
            if image is None:
                file.write(b"no picture")
            else:
                Image.fromarray(image).save(file, "PNG")
            info = tarfile.TarInfo(name)
            info.size = len(file.getvalue())
            tar.addfile(info, io.BytesIO(file.getvalue()))
    return str(tmp_path / "s.tar")


def test_images_in_a_tar(tar):
    first, second, broken = images_of_tar(tar)
    np.testing.assert_array_equal(read(second), 255 - PIXELS)
    np.testing.assert_array_equal(read(first), PIXELS)
    with pytest.raises(UnreadableItemError) as caught:
        read(broken)
    reason = "its content is of no image format that PIL knows"
    assert str(caught.value) == f"item x/3.jpg: cannot read image {tar}:x/3.jpg (10 bytes): {reason}"


def test_a_tar_that_has_become_shorter(tar):
    items = images_of_tar(tar)
    with open(tar, "r+b") as file:
        file.truncate(items[1].offset + 10)
    with pytest.raises(UnreadableItemError, match=r"item x/2\.png: .*s\.tar has become shorter"):
        read(items[1])
    np.testing.assert_array_equal(read(items[0]), PIXELS)


def test_too_many_pixels(png):
    assert read(Item("a", str(png)), max_pixels=35).shape == (5, 7, 3)
    with pytest.raises(UnreadableItemError, match=r"item a: .*a\.png.*7 x 5 pixels are more than the 34 allowed"):
        read(Item("a", str(png)), max_pixels=34)


def test_too_many_pixels_of_a_clip(film):
    clip = Item("a@1.000", str(film), time=1.0)
    assert read(clip, max_pixels=32 * 48).shape == (16, 32, 48, 3)
    with pytest.raises(UnreadableItemError, match=r"item a@1\.000: .*a\.mp4 have 48 x 32 pixels, more than the 1535"):
        read(clip, max_pixels=32 * 48 - 1)


@pytest.mark.parametrize("time", [None, 1.0])
@pytest.mark.parametrize("content", [None, b"", b"neither\npicture nor film" * 50])
def test_damaged_files_have_one_line(tmp_path, content, time):
    path = tmp_path / "two\nlines.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnreadableItemError) as caught:
        read(Item("the\nid", str(path), time=time))
    assert re.fullmatch(r"item the id: .*two lines\.mp4.*", str(caught.value))
    assert isinstance(caught.value, ValueError)


def test_a_folder_in_place_of_a_file(tmp_path):
    for time in (None, 0.0):
        with pytest.raises(UnreadableItemError, match="item a: "):
            read(Item("a", str(tmp_path), time=time))


def test_a_time_behind_the_end(film):
    with pytest.raises(UnreadableItemError, match=r"item a@9\.000: .*a\.mp4 ends at 2\.000 s"):
        read(Item("a@9.000", str(film), time=9.0))


def test_boxes_are_clipped():
    item = Item("a", "a.png", boxes=((0, 0, 20, 10), (-1, -1, 21, 11), (19.5, 2, 20.5, 3), (1.25, 2, 3, 4)))
    boxes = check_boxes(item, height=10, width=20)
    assert boxes.dtype == np.float32
    assert boxes.tolist() == [[0, 0, 20, 10], [0, 0, 20, 10], [19.5, 2, 20, 3], [1.25, 2, 3, 4]]
    assert check_boxes(Item("a", "a.png"), 10, 20).shape == (0, 4)


@pytest.mark.parametrize("box", [(0, 0, 21.5, 5), (0, 0, 5, 12), (-2, 0, 5, 5), (20, 0, 21, 5), (30, 30, 40, 40)])
def test_boxes_outside(box):
    with pytest.raises(UnreadableItemError, match=r"^item a: box .* lies outside the image \(20 x 10\)$") as caught:
        check_boxes(Item("a", "a.png", boxes=((0, 0, 1, 1), box)), height=10, width=20)
    assert ",".join(f"{value:g}" for value in box) in str(caught.value)
