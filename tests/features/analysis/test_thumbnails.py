from __future__ import annotations

import logging

import av
import numpy as np
import pytest
from PIL import Image

from hiera_det.features.analysis.thumbnails import thumbnail
from hiera_det.inputs.items import Item


@pytest.mark.parametrize(
    ("size", "expected"),
    [((640, 480), (200, 150)), ((20, 40), (100, 200)), ((1, 1), (200, 200)), ((5000, 1), (200, 1))],
)
def test_longer_side(tmp_path, size, expected):
    Image.new("RGB", size, (10, 200, 30)).save(tmp_path / "a.png")
    picture = thumbnail(Item("a", str(tmp_path / "a.png")))
    assert picture.size == expected
    assert picture.getpixel((0, 0)) == (10, 200, 30)


@pytest.mark.parametrize("content", [None, b"no image"], ids=["moved", "damaged"])
def test_what_cannot_be_read_is_a_tile_and_a_line_in_the_log(tmp_path, content, caplog):
    path = tmp_path / "a.jpg"
    if content:
        path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        picture = thumbnail(Item("the id", str(path)))
    assert picture.size == (200, 200)
    colours = {colour: count for count, colour in picture.getcolors()}
    assert 0.9 < colours[(216, 216, 216)] / 200**2 < 0.999  # grey, and words on it
    assert "the id" in caplog.text and str(path) in caplog.text


def test_the_middle_frame_of_a_clip(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10, options={"qscale": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        for i in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((32, 64, 3), 10 * i, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    picture = thumbnail(Item("a@1.200", str(path), time=1.2))
    assert picture.size == (200, 100)
    assert picture.getpixel((100, 50))[0] == pytest.approx(120, abs=3)  # the 12th of 10 per second
