"""Imports go down only: a folder of the package uses those below it, and a task knows no other task."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Each uses what stands in the rows below its own.
FLOORS = [
    {"__main__"},
    {"cli"},
    {"api"},
    {"tasks"},
    {"detection", "features", "pretraining", "detectron2", "projects"},
    {"engine"},
    {"inputs", "datasets"},
    {"weights", "coco"},
    {"data", "hiera", "config"},
    {"utils"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def imports(path: Path) -> set[str]:
    """Modules of the package that a file imports, at its top or within functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return {name for name in found if name.startswith("hiera_det.")}


def files() -> list[tuple[str, Path]]:
    """Every file of the package but its face, with its room; AVA's commands are commands."""
    package, ava = ROOT / "hiera_det", ROOT / "projects" / "ava" / "ava"
    paths = [path for path in package.rglob("*.py") if path != package / "__init__.py"]
    rooms = [path.relative_to(package).parts[0].removesuffix(".py") for path in paths]
    of_ava = [("cli" if path.is_relative_to(ava / "cli") else "projects", path) for path in ava.rglob("*.py")]
    return [*zip(rooms, paths, strict=True), *of_ava]


@pytest.mark.parametrize(("room", "path"), files(), ids=lambda value: getattr(value, "stem", value))
def test_imports_go_down(room, path):
    for name in imports(path):
        used = name.split(".")[1]
        if used in FLOOR:  # else a name of hiera_det itself
            assert used == room or FLOOR[used] > FLOOR[room], f"{path} ({room}) imports {name}"


def test_every_room_has_its_floor():
    rooms = {path.name.removesuffix(".py") for path in (ROOT / "hiera_det").iterdir()}
    assert rooms - {"__init__", "__pycache__", "py.typed"} == FLOOR.keys()


def test_detectron2_is_imported_in_its_room_alone():
    for room, path in files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            module = node.module if isinstance(node, ast.ImportFrom) else ""
            names = [name.name for name in node.names] if isinstance(node, ast.Import) else [module or ""]
            assert room == "detectron2" or not any(name.split(".")[0] == "detectron2" for name in names), path
