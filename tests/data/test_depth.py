"""Pixels of more than 8 bits: by the file, by a key, or by what is in the image, which the log then says."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from hiera_det.data import depth
from hiera_det.data.images import UnreadableImageError, read_image

TWELVE = np.array([[0, 15, 16, 2048, 4095]], np.uint16)
SEEN = [0, 0, 1, 128, 255]


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch):
    """A process warns once: each test is one."""
    monkeypatch.setattr(depth, "_told", set())


@pytest.fixture
def save(tmp_path):
    """Writes an image, by PIL or, of colours of 16 bits, by OpenCV."""

    def saved(values, name="a.png", **options):
        path = tmp_path / name
        if values.ndim == 3:
            swapped = values[..., [2, 1, 0, 3][: values.shape[2]]]
            path.write_bytes(cv2.imencode(path.suffix, np.ascontiguousarray(swapped))[1].tobytes())
        else:
            Image.fromarray(values).save(path, **options)
        return path

    return saved


def grey(path, **options) -> list[int]:
    image = np.asarray(read_image(path, **options))  # (1, W, 3)
    assert (image == image[..., :1]).all()
    return image[0, :, 0].tolist()


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_12_bits_are_seen_and_said_once(save, caplog, name):
    path = save(TWELVE, name)
    assert grey(path) == SEEN
    (record,) = caplog.records
    text = record.getMessage()
    assert f"{path} has pixels of 16 bits, the largest is 4095: taken as 12 bits, 0 to 4095" in text
    assert "INPUT.PIXEL_RANGE" in text
    grey(path)
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("largest", "seen", "said"), [(255, 255, 1), (1023, 63, 1), (4096, 16, 1), (16384, 64, 0), (65535, 255, 0)]
)
def test_by_the_largest_value(save, caplog, largest, seen, said):
    """Two depths besides 16 bits: of more, images of one set would differ in brightness."""
    assert max(grey(save(np.array([[0, largest]], np.uint16)))) == seen
    assert len(caplog.records) == said


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_a_range_by_key(save, caplog, name):
    path = save(np.array([[0, 1000, 1001, 1500, 2023, 2024]], np.uint16), name)
    assert grey(path, pixel_range=(1000, 2023)) == [0, 0, 0, 125, 255, 255]
    assert grey(path, pixel_range=(0, 65535)) == [0, 3, 3, 5, 7, 7]  # as 16 bits
    assert not caplog.records


@pytest.mark.parametrize(
    ("values", "pixel_range", "seen"),
    [
        (np.array([[-5, 0, 500, 1000]], np.int32), (0, 1000), [0, 0, 127, 255]),
        (np.array([[0, 0.25, 1, np.nan, np.inf]], np.float32), (0.0, 1.0), [0, 64, 255, 0, 255]),
    ],
)
def test_32_bits_need_a_range(save, values, pixel_range, seen):
    path = save(values, "a.tif")
    assert grey(path, pixel_range=pixel_range) == seen
    with pytest.raises(UnreadableImageError, match=r"a\.tif .*32-bit .*or set INPUT\.PIXEL_RANGE"):
        read_image(path)


def test_a_tiff_that_says_its_largest_value(save, caplog):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[281] = 4095
    path = save(np.array([[0, 100]], np.uint16), "a.tif", tiffinfo=tags)
    assert max(grey(path)) == 100 >> 4
    tags[281] = 65535
    assert max(grey(save(np.array([[0, 4095]], np.uint16), "b.tif", tiffinfo=tags))) == 15  # it is so dark
    tags[281] = 100  # the image's own, as some programs write it: no depth
    assert max(grey(save(np.array([[0, 4095]], np.uint16), "c.tif", tiffinfo=tags))) == 255
    assert "c.tif" in caplog.text and "a.tif" not in caplog.text


def test_formats_that_tell_their_depth(tmp_path, caplog):
    (tmp_path / "a.pgm").write_bytes(b"P5 2 1 1023\n" + struct.pack(">2H", 100, 1023))
    assert grey(tmp_path / "a.pgm") == [100 >> 2, 255]
    (tmp_path / "b.pgm").write_bytes(b"P5 2 1 65535\n" + struct.pack(">2H", 100, 1023))
    assert grey(tmp_path / "b.pgm") == [0, 3]
    assert not caplog.records


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_colours_of_12_bits(save, caplog, name, channels):
    values = np.random.default_rng(0).integers(0, 4096, (5, 7, channels), np.uint16)
    values[..., 3:] = 65535
    path = save(values, name)
    assert (np.asarray(read_image(path)) == values[..., :3] >> 4).all()
    assert "taken as 12 bits" in caplog.text
    assert (np.asarray(read_image(path, pixel_range=(0, 65535))) == values[..., :3] >> 8).all()


@pytest.mark.parametrize("fourth", [4095, 65535])
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_a_fourth_channel_has_a_range_of_its_own(save, name, fourth):
    """Of near infrared, or of transparency, which fills 16 bits."""
    values = np.random.default_rng(0).integers(0, 4096, (5, 7, 4), np.uint16)
    values[..., 3] = fourth
    pixels = np.asarray(read_image(save(values, name), channels=4))
    assert (pixels[..., :3] == values[..., :3] >> 4).all() and (pixels[..., 3] == 255).all()


def test_colours_of_12_bits_turned(tmp_path):
    """A PNG's EXIF; of TIFF it is OpenCV that turns."""
    values = np.random.default_rng(0).integers(0, 4096, (5, 7, 3), np.uint16)
    content = cv2.imencode(".png", np.ascontiguousarray(values[..., ::-1]))[1].tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    body = b"eXIf" + exif.tobytes()[6:]
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    (tmp_path / "a.png").write_bytes(content[:33] + chunk + content[33:])  # behind IHDR
    assert (np.asarray(read_image(tmp_path / "a.png")) == np.rot90(values >> 4, -1)).all()


def test_colours_of_16_bits_stay(save, caplog):
    values = np.random.default_rng(0).integers(0, 65536, (5, 7, 3), np.uint16)
    assert (np.asarray(read_image(save(values))) == values >> 8).all()
    assert not caplog.records
