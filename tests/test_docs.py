"""README and docs name only what is there: paths of the repository, links, and names of the package."""

from __future__ import annotations

import re
from functools import reduce
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("projects/*/*.md")]
FOLDERS = "|".join(("benchmarks", "configs", "docs", "hiera_det", "projects", "tests", "tools"))
PATH = re.compile(rf"(?<![\w/.…-])(?:{FOLDERS})/[\w./*-]*")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
NAME = re.compile(r"\bhiera_det(?:\.[A-Za-z_]\w*)+")
IMPORT = re.compile(r"from (hiera_det[\w.]*) import (.+)")


def names(text: str) -> set[str]:
    imported = {f"{module}.{name.strip()}" for module, found in IMPORT.findall(text) for name in found.split(",")}
    return set(NAME.findall(text)) | imported


def resolve(name: str) -> object:
    parts = name.split(".")
    for i in range(len(parts), 0, -1):
        module = ".".join(parts[:i])
        try:
            return reduce(getattr, parts[i:], import_module(module))
        except ModuleNotFoundError as error:
            if not f"{module}.".startswith(f"{error.name}."):
                raise
    raise ModuleNotFoundError(name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_and_links(page):
    text = page.read_text(encoding="utf-8")
    missing = {path for path in PATH.findall(text) if not any(ROOT.glob(path.rstrip("./")))}
    missing |= {link for link in LINK.findall(text) if not (page.parent / link).exists()}
    assert not missing


@pytest.mark.parametrize("name", sorted(set().union(*(names(page.read_text(encoding="utf-8")) for page in PAGES))))
def test_names(name):
    try:
        resolve(name)
    except ImportError as error:
        if not error.name or error.name.startswith("hiera_det"):
            raise
        pytest.skip(f"{error.name} is not installed")


def test_what_is_not_there_is_found():
    assert PATH.findall("see `tools/no.py`, x/tools/a.py and configs/*.yaml") == ["tools/no.py", "configs/*.yaml"]
    for name in ("hiera_det.host", "hiera_det.config.load_cfg", "hiera_det.projects.ava.no"):
        with pytest.raises((ImportError, AttributeError)):
            resolve(name)
