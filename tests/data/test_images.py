from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from hiera_det.data.images import UnreadableImageError, read_image

WIDE = np.array([[0, 255, 256, 32768, 65535]], np.uint16)
NARROW = [0, 0, 1, 128, 255]


def _save(path, image, **options):
    image.save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.ppm"])
def test_16_bit_grey_is_scaled(tmp_path, name):
    image = read_image(_save(tmp_path / name, Image.fromarray(WIDE)))
    assert image.mode == "RGB"
    assert np.asarray(image)[0].tolist() == [[value] * 3 for value in NARROW]


def test_16_bit_grey_that_pil_opens_as_32_bit(tmp_path, monkeypatch):
    path = _save(tmp_path / "a.png", Image.fromarray(WIDE))
    opened = Image.open(path).convert("I")  # as PIL did before version 11
    opened.format = "PNG"
    monkeypatch.setattr(Image, "open", lambda *_, **__: opened)
    assert np.asarray(read_image(path))[0, :, 0].tolist() == NARROW


def test_16_bit_big_endian_and_turned(tmp_path):
    exif = Image.Exif()
    exif[274] = 3  # upside down
    image = Image.frombytes("I;16B", (5, 1), WIDE.astype(">u2").tobytes())
    turned = read_image(_save(tmp_path / "a.tif", image, exif=exif))
    assert np.asarray(turned)[0, :, 0].tolist() == NARROW[::-1]


@pytest.mark.parametrize(("dtype", "words"), [(np.int32, "32-bit integers"), (np.float32, "32-bit floats")])
def test_pixels_without_a_range(tmp_path, dtype, words):
    path = _save(tmp_path / "a.tif", Image.fromarray(WIDE.astype(dtype)))
    with pytest.raises(UnreadableImageError, match=rf"a\.tif .*{words}, whose range is unknown; save it with 8 or 16"):
        read_image(path)


@pytest.mark.parametrize(
    ("mode", "colour", "rgb"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 70, (70, 70, 70)),
        ("LA", (70, 0), (70, 70, 70)),  # what is transparent keeps its colour
        ("RGBA", (10, 20, 30, 0), (10, 20, 30)),
        ("CMYK", (255, 0, 0, 0), (0, 255, 255)),
    ],
)
def test_modes(tmp_path, mode, colour, rgb):
    path = _save(tmp_path / "a.tif", Image.new(mode, (1, 1), colour))
    assert np.asarray(read_image(path)).tolist() == [[list(rgb)]]


def test_palette(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([9, 8, 7, 200, 100, 50])
    image.putdata([1, 0])
    path = _save(tmp_path / "a.png", image, transparency=0)
    assert np.asarray(read_image(path)).tolist() == [[[200, 100, 50], [9, 8, 7]]]


def test_cmyk_jpeg(tmp_path):
    path = _save(tmp_path / "a.jpg", Image.new("CMYK", (16, 16), (255, 0, 0, 0)), quality=100)
    np.testing.assert_allclose(np.asarray(read_image(path))[8, 8], (0, 255, 255), atol=3)


def test_content_in_memory():
    file = io.BytesIO()
    Image.new("RGB", (3, 2), (1, 2, 3)).save(file, "PNG")
    assert np.asarray(read_image(file.getvalue())).tolist() == [[[1, 2, 3]] * 3] * 2


@pytest.mark.parametrize("content", [b"", b"no picture at all", b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_damaged_content_has_one_message(content):
    with pytest.raises(UnreadableImageError) as caught:
        read_image(content, name="shard.tar:a.png")
    assert str(caught.value).startswith(f"cannot read image shard.tar:a.png ({len(content)} bytes): ")
    assert " at 0x" not in str(caught.value)  # of an object in memory: another one each time


def test_more_pixels_than_wanted(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    path = _save(tmp_path / "a.png", Image.fromarray(noise))
    assert read_image(path, max_pixels=600).size == (30, 20)
    with pytest.raises(UnreadableImageError, match=r"a\.png .*30 x 20 pixels are more than the 599 allowed"):
        read_image(path, max_pixels=599)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UnreadableImageError, match="truncated"):
        read_image(path)
    with pytest.raises(UnreadableImageError, match="30 x 20 pixels are more"):
        read_image(path, max_pixels=599)  # before the pixels are looked at


@pytest.mark.parametrize("error", [TypeError, RuntimeError, KeyError, IndexError])
def test_any_error_of_a_decoder(tmp_path, monkeypatch, error):
    path = _save(tmp_path / "a.png", Image.new("RGB", (3, 2)))

    def fail(_):
        raise error("from the depth")

    monkeypatch.setattr(Image.Image, "getexif", fail)
    with pytest.raises(UnreadableImageError, match=r"a\.png .*from the depth"):
        read_image(path)


def test_colours_of_14_bits(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((4, 4, 3), 12_000, np.uint16))
    assert np.asarray(read_image(tmp_path / "a.png", pixel_range=[0, 2**14 - 1]))[0, 0].tolist() == [187] * 3


def test_tiff_whose_white_is_zero(tmp_path):
    values = np.array([[0, 256 * 200, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.tif", tiffinfo={262: 0})
    assert np.asarray(read_image(tmp_path / "a.tif"))[0, :, 0].tolist() == [255, 55, 0]


def test_tiff_of_unsigned_32_bits(tmp_path):
    values = np.array([[0, 2**31, 2**32 - 1]], np.uint32)
    path = tmp_path / "a.tif"
    Image.fromarray(values.view(np.int32)).save(path)  # PIL knows signed ones alone
    entry = b"\x53\x01\x03\x00\x01\x00\x00\x00"  # the tag 339, SampleFormat: one short
    path.write_bytes(path.read_bytes().replace(entry + b"\x02", entry + b"\x01"))
    assert np.asarray(read_image(path, pixel_range=[0, 2**32 - 1]))[0, :, 0].tolist() == [0, 128, 255]
