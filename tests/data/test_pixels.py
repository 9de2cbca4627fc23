"""Images in any form that a caller has, of one, three and four channels; what is none is a clear error."""

from __future__ import annotations

import socket
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from hiera_det.data.images import UnreadableImageError
from hiera_det.data.pixels import as_image, as_rgb, to_pixels

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 4), np.uint8)
RGB = np.ascontiguousarray(PIXELS[..., :3])
GREY = np.asarray(Image.fromarray(RGB).convert("L"))


@pytest.mark.parametrize(
    "source",
    [RGB, GREY, GREY[..., None], Image.fromarray(RGB), Image.fromarray(GREY), torch.from_numpy(GREY.copy())[None]],
)
def test_grey(source):
    assert (to_pixels(source, channels=1) == GREY[..., None]).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_grey_of_every_mode(mode):
    image = Image.new(mode, (3, 2), 0) if mode == "I;16" else Image.new("L", (3, 2), 255).convert(mode)
    assert (to_pixels(image, channels=1) == (0 if mode == "I;16" else 255)).all()


@pytest.mark.parametrize("source", [PIXELS, Image.fromarray(PIXELS), torch.from_numpy(PIXELS.copy()).permute(2, 0, 1)])
def test_four_channels(source):
    assert (to_pixels(source, channels=4) == PIXELS).all()


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "CMYK"])
def test_a_fourth_channel_is_not_made_up(mode):
    with pytest.raises(ValueError, match=rf"it has \d channels \({mode}\), but MODEL\.PIXEL_MEAN has 4 values"):
        to_pixels(Image.new(mode, (3, 2)), channels=4)


def test_to_look_at_and_back():
    for channels in (1, 3, 4):
        pixels = to_pixels(Image.fromarray(PIXELS), channels=channels)
        assert (to_pixels(as_image(pixels), channels=channels) == pixels).all()
        assert (as_rgb(pixels) == (GREY[..., None] if channels == 1 else RGB)).all()


@pytest.mark.parametrize("extra", [0, 1, 2])
def test_the_fourth_channel_of_a_tiff_as_stored(tmp_path, extra):
    """Which is none of transparency: with 0 PIL drops it, with 1 it divides the colours by it."""
    path = tmp_path / "a.tif"
    Image.fromarray(PIXELS).save(path)
    content = bytearray(path.read_bytes())
    place = content.index(b"\x52\x01\x03\x00\x01\x00\x00\x00") + 8  # ExtraSamples
    content[place] = extra
    path.write_bytes(content)
    assert (to_pixels(path, channels=4) == PIXELS).all()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Image.new("RGB", (0, 5)), "0 x 5 pixels, expected at least 1 x 1"),
        (torch.zeros(3, 4, 4, device="meta"), r"one without values \(meta\)"),
        (torch.zeros(3, 4, 4).to_sparse(), "dense tensor with its values; got one of layout torch.sparse_coo"),
        (torch.zeros(3, 4, 4).to(torch.float8_e4m3fn), "of floats from 0 to 1; got torch.float8_e4m3fn"),
        (torch.zeros(3, 4, 4, dtype=torch.complex64), "got torch.complex64"),
        (torch.zeros(3, 4, 4, dtype=torch.bool), "got torch.bool"),
        (torch.quantize_per_tensor(torch.zeros(3, 4, 4), 0.1, 0, torch.quint8), "torch.quint8"),
    ],
)
def test_what_cannot_be_an_image(source, message):
    with pytest.raises(ValueError, match=message):
        to_pixels(source)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/a b.jpg", "http://[::1", "http://", "https:///x", "http://127.0.0.1:x/", "HTTP://a\nb/"]
)
def test_urls_that_make_no_sense(url):
    with pytest.raises(UnreadableImageError, match="cannot fetch image http"):
        to_pixels(url.replace("HTTP", "http"))


def test_a_server_that_does_not_speak_http():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"what?\n")

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(UnreadableImageError, match="cannot fetch image http"):
            to_pixels(f"http://127.0.0.1:{server.getsockname()[1]}/a.jpg")


@pytest.mark.parametrize("source", ["http-folder/a.jpg", "a[b].jpg", "[http://x"])
def test_paths_that_look_like_urls(source):
    with pytest.raises(UnreadableImageError, match="cannot read image"):
        to_pixels(source)
