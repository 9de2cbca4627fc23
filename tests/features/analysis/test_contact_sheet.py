from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from hiera_det.features.analysis.contact_sheet import Tile, check_sheet, write_sheet

NASTY = '<script>alert("1 & 2")</script>/{0}.jpg'


def tile(name: str, colour: str, score: float | None = None, size: tuple[int, int] = (200, 100)) -> Tile:
    return Tile(name, Image.new("RGB", size, colour), score)


@pytest.fixture
def rows() -> list[list[Tile]]:
    return [
        [tile("a", "red"), tile(NASTY, "lime", 0.98765), tile("c", "blue", -0.5, (1, 200))],
        [tile("a" * 300, "blue"), tile("猫\nä.jpg", "red", 1.0)],
    ]


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))

    def handle_data(self, data):
        self.words.append(data)


def test_page(tmp_path, rows):
    write_sheet(tmp_path / "new" / "matches.html", rows, "like <these>")
    text = (tmp_path / "new" / "matches.html").read_text(encoding="utf-8")
    page = Page(text)
    assert "script" not in page.tags
    assert [image["alt"] for image in page.images] == ["a", NASTY, "c", "a" * 300, "猫\\nä.jpg"]
    assert {NASTY, "like <these>", "query", "0.9877", "-0.5000", "1.0000"} <= set(page.words)
    assert not re.search(r"https?:|//|url\(|<link", re.sub(r"base64,[^\"]*", "", text).replace("</", "<"))
    for image, colour in zip(page.images, [(255, 0, 0), (0, 255, 0), (0, 0, 255)], strict=False):
        kind, _, data = image["src"].partition(",")
        assert kind == "data:image/jpeg;base64"
        shown = Image.open(io.BytesIO(base64.b64decode(data)))
        assert np.abs(np.subtract(shown.resize((1, 1)).getpixel((0, 0)), colour)).max() < 5


def test_picture_has_each_tile_in_its_place(tmp_path, rows):
    write_sheet(tmp_path / "matches.png", rows, "title " * 100)
    sheet = np.asarray(Image.open(tmp_path / "matches.png").convert("RGB")).astype(int)

    def centre(colour: tuple[int, int, int]) -> list[tuple[int, int, int]]:
        """Left, top and number of pixels of each row of tiles that holds the colour."""
        same = (sheet == colour).all(axis=2)
        halves = np.array_split(np.arange(len(sheet)), 2)
        found = []
        for half in halves:
            y, x = np.nonzero(same[half])
            found.append((int(x.min()), int(y.min() + half[0]), len(x)) if len(x) else (0, 0, 0))
        return found

    red, green, blue = centre((255, 0, 0)), centre((0, 255, 0)), centre((0, 0, 255))
    assert [count for *_, count in (*red, green[0])] == [20000] * 3
    assert [count for *_, count in blue] == [200, 20000]
    assert red[0][0] < green[0][0] < blue[0][0]  # the query is on the left
    assert blue[1][0] == red[0][0] and red[1][0] == green[0][0]
    assert red[0][1] == green[0][1] == blue[0][1] + 50  # in the middle of their squares


def test_endings(tmp_path, rows):
    for name in ("matches.jpg", "matches"):
        with pytest.raises(ValueError, match=rf"\(\.html\) or a picture \(\.png\), not '{name}'"):
            check_sheet(tmp_path / name)
        with pytest.raises(ValueError, match="contact sheet"):
            write_sheet(tmp_path / name, rows, "")
    check_sheet("matches.HTML")
    assert list(tmp_path.iterdir()) == []
