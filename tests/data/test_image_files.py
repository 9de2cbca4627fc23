"""Which files are opened as images: formats, kinds of file, limits."""

from __future__ import annotations

import io
import os
import socket
import subprocess

import numpy as np
import pytest
from PIL import Image

from hiera_det.config import get_cfg
from hiera_det.data.image_files import MAX_PIXELS, ImageHeader, read_header
from hiera_det.data.images import UnreadableImageError, convert_image, read_image
from hiera_det.data.suffixes import IMAGE_FORMATS, IMAGE_SUFFIXES

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n(x) print\n%%EOF\n"
PIL_LIMIT = 2 * 1024**3 // 4 // 3


@pytest.fixture
def png(tmp_path):
    Image.new("RGB", (30, 20), (200, 100, 50)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def header(width: int, height: int) -> bytes:
    """A BMP of black pixels that is cut off behind its header."""
    file = io.BytesIO()
    Image.new("RGB", (1, 1)).save(file, "BMP")
    content = bytearray(file.getvalue()[:54])
    content[18:26] = np.array([width, height], "<i4").tobytes()
    return bytes(content)


def test_endings_are_those_of_the_formats():
    """PIL's own lists, MPO's among JPEG's, which opens them."""
    known = Image.registered_extensions()
    formats = {*IMAGE_FORMATS, "MPO"}
    assert sorted(IMAGE_SUFFIXES) == sorted(ending for ending, name in known.items() if name in formats)


@pytest.mark.parametrize("name", ["JPEG", "MPO", "PNG", "BMP", "WEBP", "TIFF", "GIF", "JPEG2000", "AVIF", "PPM"])
def test_every_format_is_read_whatever_the_ending(tmp_path, name):
    Image.new("RGB", (16, 8), (200, 100, 50)).save(tmp_path / "a.x", name)
    pixels = np.asarray(read_image(tmp_path / "a.x"))
    assert pixels.shape == (8, 16, 3)
    assert np.abs(pixels.astype(int) - (200, 100, 50)).max() <= 8
    assert read_header(tmp_path / "a.x") == ImageHeader(16, 8, 1)


def test_no_program_is_started_for_postscript(tmp_path, monkeypatch):
    (tmp_path / "a.jpg").write_bytes(EPS)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a program is started"))
    for source in (tmp_path / "a.jpg", EPS):
        with pytest.raises(UnreadableImageError, match=r"its content is of the format EPS; read are JPEG, PNG, "):
            read_image(source, name="a.jpg")


@pytest.mark.parametrize(("name", "other"), [("PCX", "PCX"), ("SGI", "SGI"), ("ICO", "ICO")])
def test_other_formats_are_named(name, other):
    file = io.BytesIO()
    Image.new("RGB", (32, 32)).save(file, name)
    with pytest.raises(UnreadableImageError, match=rf"x\.png \(\d+ bytes\): its content is of the format {other}; "):
        read_image(file.getvalue(), name="x.png")


def test_of_several_frames_the_first(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("hiera_det.data.images._told", set())
    first, second = (Image.new("RGB", (8, 8), (level, 0, 0)) for level in (100, 200))
    for name in ("a.gif", "a.tif", "a.png", "a.webp"):
        first.save(tmp_path / name, save_all=True, append_images=[second], lossless=True)
        assert np.asarray(read_image(tmp_path / name))[0, 0].tolist() == [100, 0, 0]
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'a.tif'} has several pages; of such files the first is read"
    ]


@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "socket", "loop", "gone", "long", "nul"])
def test_what_is_no_file_is_an_error_at_once(tmp_path, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    path, reason = tmp_path / "a.jpg", {"fifo": "it is a named pipe", "folder": "it is a folder"}.get(kind, "")
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
        reason = "it is a device, expected a file"
    elif kind == "socket":
        socket.socket(socket.AF_UNIX).bind("a.jpg")
        reason = "it is a socket"
    elif kind == "loop":
        path.symlink_to(path)
        reason = "Too many levels of symbolic links"
    elif kind == "long":
        path, reason = tmp_path / ("a" * 300), "File name too long"
    elif kind == "nul":
        path, reason = tmp_path / "a\0.jpg", "null"
    else:
        reason = "no such file"
    for read in (read_image, read_header):
        with pytest.raises(UnreadableImageError, match=rf"cannot read image .*{reason}"):
            read(path)


def test_a_limit_before_decoding(png):
    for read in (read_image, read_header):
        read(png, max_pixels=600)
        with pytest.raises(UnreadableImageError, match=r"30 x 20 pixels are more than the 599 .*INPUT\.MAX_PIXELS"):
            read(png, max_pixels=599)
    with Image.open(png) as image, pytest.raises(ValueError, match="more than the 599"):
        convert_image(image, max_pixels=599)
    assert MAX_PIXELS == get_cfg().INPUT.MAX_PIXELS


def test_the_key_takes_the_place_of_pil_s_limit():
    side = int(PIL_LIMIT**0.5) + 1  # PIL would refuse it
    assert read_header(header(side, side)).size == (side, side)
    assert read_header(header(20_000, 20_000), max_pixels=None).width == 20_000
    with pytest.raises(UnreadableImageError, match=r"20000 x 20000 pixels .*200000000 allowed \(INPUT\.MAX_PIXELS\)"):
        read_image(header(20_000, 20_000), name="a.bmp")
    assert Image.MAX_IMAGE_PIXELS * 2 == PIL_LIMIT // 2 * 2  # it is as it was


def test_a_limit_that_a_program_gave_pil_is_obeyed(png, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(UnreadableImageError, match="600 pixels"):
        read_image(png)


@pytest.mark.parametrize("orientation", [1, 3, 5, 6, 8, 9])
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp"])
def test_a_header_knows_how_the_image_is_turned(tmp_path, name, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (30, 20)).save(tmp_path / name, exif=exif)
    found = read_header(tmp_path / name)
    assert (found.width, found.height) == (30, 20)
    assert found.size == read_image(tmp_path / name).size == ((20, 30) if orientation in (5, 6, 8) else (30, 20))


def test_an_image_without_pixels():
    with pytest.raises(ValueError, match="0 x 5 pixels, expected at least 1 x 1"):
        convert_image(Image.new("RGB", (0, 5)))
