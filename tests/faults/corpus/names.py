"""Hostile names of files, through every command that writes such a name: tables, JSON, pages, drawings."""

from __future__ import annotations

import csv
import html.parser
import json
import re
from collections.abc import Iterator
from pathlib import Path

from tests.faults.case import Case, Write, copy, put
from tests.faults.material import Material

__all__ = ["cases"]

_NAMES = {
    "formula": "=cmd|'%2fc calc'!A0",
    "plus": "+1+1",
    "minus": "-1-1",
    "at": "@SUM(1)",
    "tab": "\t=1",
    "return": "\r=1",
    "line": "a\n=1",
    "escape": "\x1b[2J\x1b]0;x\x07",
    "html": "<img src=x onerror=alert(1)>",
    "quotes": "\"'`<b>",
    "entity": "&lt;script&gt;",
    "bidi": "\u202egnp",
    "not_utf8": "\udcff\udcfe",
    "delete": "\x7f\x9b",
    "option": "--output",
    "braces": "{0}%s%n{x}",
    "spaces": "  a  ",
    "wide": "名前" * 30,
    "long": "x" * 240,
    "shell": "$(touch called);`touch called`",
    "glob": "[a-z]*?",
}


def cases(good: Material) -> Iterator[Case]:
    """All of the kind."""
    sound = good.pictures
    image = next((sound / "a").iterdir())
    weights = ("--weights", str(good.detection_run))
    extract = ("extract", "--config", str(good.features_config), "--input", "in", "--output", "store")
    commands = {
        "extract": (extract, lambda name: _files(image, name)),
        "predict": (("predict", *weights, "--input", "in", "--output", "out"), lambda name: _files(image, name)),
        "classify": (
            ("classify", "--weights", str(good.published), "--input", "in", "--output", "out"),
            lambda name: _files(image, name),
        ),
        "video": (
            (
                "extract",
                "--config",
                str(good.video_features_config),
                "--every",
                "1",
                "--input",
                "in",
                "--output",
                "store",
            ),
            lambda name: _videos(good.video, name),
        ),
        "annotations": (
            (
                "check",
                "--config",
                str(good.detection_config),
                "--image-root",
                "in",
                "--dataset-json",
                "x.json",
                *_BOXES,
            ),
            lambda name: _annotated(image, name),
        ),
        "tar": ((*extract[:4], "in.tar", *extract[5:]), lambda name: _tar(image, name)),
        "output": ((*extract[:-1], "{name}"), lambda name: _files(image, "x")),
    }
    for command, (words, write) in commands.items():
        yield Case(f"good_{command}", words, write("sound"), good=True, slow=command == "classify")
        for name, value in _NAMES.items():
            named = tuple(word.replace("{name}", "./" + value.replace("/", "_")) for word in words)
            yield Case(f"{command}_{name}", named, write(value), check=_quoted, slow=command == "classify")
    yield Case("good_search", _SEARCH, _searched(good, image, "sound"), good=True)
    for name, value in _NAMES.items():
        yield Case(f"search_{name}", _SEARCH, _searched(good, image, value), check=_quoted)


_BOXES = ("MODEL.MASK_ON", "False", "MODEL.ROI_HEADS.NUM_CLASSES", "1")
_SEARCH = ("search", "--store", "store", "--query", "0.png", "--output", "out.html")


def _files(image: Path, name: str) -> Write:
    """A sound image, and one of the name that cannot be read, and one that can."""

    def write(folder: Path) -> None:
        (folder / "in").mkdir()
        copy(image, "in/0.png")(folder)
        for ending, content in ((".png", b"no image"), (".jpg", image.read_bytes())):
            (folder / "in" / (name[: 250 - len(ending)] + ending)).write_bytes(content)

    return write


def _videos(video: Path, name: str) -> Write:
    def write(folder: Path) -> None:
        (folder / "in").mkdir()
        copy(video, "in/0.mp4")(folder)
        (folder / "in" / f"{name}.mp4").write_bytes(b"no video")

    return write


def _annotated(image: Path, name: str) -> Write:
    content = {
        "images": [{"id": 1, "file_name": f"{name}.png", "height": 32, "width": 40}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5]}],
        "categories": [{"id": 1, "name": name}],
    }

    def write(folder: Path) -> None:
        (folder / "in").mkdir()
        (folder / "in" / f"{name}.png").write_bytes(image.read_bytes())
        put("x.json", json.dumps(content))(folder)

    return write


def _tar(image: Path, name: str) -> Write:
    def write(folder: Path) -> None:
        import tarfile

        with tarfile.open(folder / "in.tar", "w", encoding="utf-8", errors="surrogateescape") as tar:
            tar.add(image, "0.png")
            (folder / "broken").write_bytes(b"no image")
            tar.add(folder / "broken", f"{name}.png")

    return write


def _searched(good: Material, image: Path, name: str) -> Write:
    """A store whose items have the name."""

    def write(folder: Path) -> None:
        from tests.faults.warm import command, run

        _files(image, name)(folder)
        words = ["extract", "--config", str(good.features_config), "--input", str(folder / "in")]
        run(command([*words, "--output", str(folder / "store")]), folder / "making", 60, watched=False)

    return write


class _Tags(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "script" or any(name.startswith("on") for name, _ in attributes):
            self.found.append(tag)


def _quoted(folder: Path) -> list[str]:
    """Cells that a spreadsheet would compute, control characters, and tags that come from a name."""
    problems = []
    for path in folder.rglob("*.csv"):
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            for row in csv.reader(file):
                problems += [
                    f"{path.name}: the cell {cell[:40]!r}"
                    for cell in row
                    if re.match(r"[=+\-@\t\r]|.*[\0-\x1f\x7f]", cell)
                ]
    for path in folder.rglob("*.html"):
        tags = _Tags()
        tags.feed(path.read_text(encoding="utf-8"))
        problems += [f"{path.name}: the tag {tag}" for tag in tags.found]
        problems += (
            [f"{path.name}: control characters"]
            if re.search(r"[\0-\x08\x0b-\x1f\x7f]", path.read_text("utf-8"))
            else []
        )
    for path in [*folder.rglob("predictions.json"), *folder.rglob("store.json")]:
        json.loads(path.read_bytes())
    outside = [path for path in folder.parent.iterdir() if path.name.startswith(("=", "+", "@"))]
    return problems + [f"a file beside the folder: {path.name!r}" for path in outside]
