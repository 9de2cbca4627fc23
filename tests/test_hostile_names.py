"""Hostile names of files, through everything that is written with names in it."""

from __future__ import annotations

import csv
import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hiera_det.data.failures import Failures
from hiera_det.data.paths import drawn_files, find_files, read_each, write_drawn
from hiera_det.engine.failed import write_failed
from hiera_det.features.analysis.contact_sheet import Tile, write_sheet
from hiera_det.features.analysis.probe import ProbeResult
from hiera_det.features.analysis.probe_report import format_probe, write_confusion, write_probe
from hiera_det.features.analysis.search import Match, format_matches
from hiera_det.features.classification.classify import as_text
from hiera_det.projects.ava.formats import Rows, read_detections, write_results
from hiera_det.utils.escape import from_cell, printable
from hiera_det.utils.files import write_json
from tests.utils.hostile_names import HOSTILE_NAMES, UNDECODABLE

NAMES = (*HOSTILE_NAMES, UNDECODABLE)
SILENT = "\x1b\x07\r\t\u202e\udcff"


def cells(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file, strict=True))


def test_images_and_what_is_drawn_of_them(tmp_path):
    folder, output = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    output.mkdir()
    for name in NAMES:
        Image.new("RGB", (8, 8), "red").save(folder / name, "JPEG")
    files = find_files(folder, "image")
    assert {path.name for path in files} == set(NAMES) - {"..jpg"}  # which is hidden
    for path, image in read_each(files, lambda path: np.asarray(Image.open(path))):
        write_drawn(dict(zip(files, drawn_files(files, output), strict=True))[path], image)
    assert {path.name for path in output.iterdir()} == {path.name for path in files}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


@pytest.mark.parametrize("name", NAMES)
def test_lists_of_failures(tmp_path, name):
    write_failed(tmp_path / "failed.csv", "clip", {name: f"{name} is empty"}, 1)
    failures = Failures(Path(name))
    failures.add("frame", -0.04, f"{name} is empty")
    failures.write(tmp_path / "video.csv")
    assert cells(tmp_path / "failed.csv")[0] == ["clip", "reason"]
    for path in (tmp_path / "failed.csv", tmp_path / "video.csv"):
        _, (first, *_) = cells(path)
        assert from_cell(first) == name
        assert not first.startswith(("=", "+", "-", "@", "\t", "\r")) and not set(SILENT) & set(first)


@pytest.mark.parametrize("name", NAMES)
def test_json(tmp_path, name):
    write_json(tmp_path / "a.json", {name: [{"file_name": name}]})
    assert json.loads((tmp_path / "a.json").read_bytes()) == {name: [{"file_name": name}]}


@pytest.mark.parametrize("name", NAMES)
def test_results_of_ava(tmp_path, name):
    one = np.zeros(1, np.int32)
    rows = Rows(
        [name], one, np.array([902.0]), np.array([[0.1, 0.2, 0.3, 0.4]]), one + 12, np.array([0.5]), {("b", 3.0)}
    )
    write_results(tmp_path / "a.csv", rows)
    found = read_detections(tmp_path / "a.csv")
    assert found.videos == [printable(name).strip()] and found.second == [902.0] and found.empty == {("b", 3.0)}


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.add(tag)
        assert not any(key.startswith("on") for key, _ in attrs)
        self.names |= {value for key, value in attrs if key == "alt"}


def test_a_page_and_a_picture(tmp_path):
    picture = Image.new("RGB", (20, 20))
    rows = [[Tile(name, picture), Tile(name, picture, 0.5)] for name in NAMES]
    for path in (tmp_path / "a.html", tmp_path / "a.png"):
        write_sheet(path, rows, NAMES[0] + UNDECODABLE + "<script>")
    page = _Page((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert "script" not in page.tags and page.names == set(map(printable, NAMES))


@pytest.mark.parametrize("name", NAMES)
def test_lines_to_read(tmp_path, name):
    probe = ProbeResult((name, "other"), np.array([3, 4]), np.array([[1, 0], [0, 1]]))
    classes = [{"category_id": 1, "label": name, "score": 0.5}]
    texts = {
        format_probe(probe): 6,
        format_matches([name], [[Match(name, 0.5), Match("b", 0.25)]]): 2,
        as_text([{"file_name": name, "classes": classes}]): 2,
    }
    for text, lines in texts.items():
        assert text.encode() and len(text.splitlines()) == lines and not set("\x1b\x07\r\u202e\udcff") & set(text)
    write_probe(tmp_path / "probe.json", probe, {"store": name})
    write_confusion(tmp_path / "confusion.png", probe)
