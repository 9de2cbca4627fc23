"""Foreign text in what people read."""

from __future__ import annotations

import csv
import io
import logging

import numpy as np
import pytest

from hiera_det.utils.escape import cell, from_cell, markdown, printable
from hiera_det.utils.files import write_csv
from hiera_det.utils.logs import LineFormatter
from hiera_det.utils.visualize import draw_instances, draw_lines, side_by_side
from tests.utils.hostile_names import HOSTILE_NAMES, UNDECODABLE

NAMES = (*HOSTILE_NAMES, UNDECODABLE, "", "plain", "走路 é", "''", "'", "-1.5", "+3e5", "-1x", "'-1", "''=x")


@pytest.mark.parametrize("name", NAMES)
def test_printable(name):
    shown = printable(name)
    shown.encode()
    assert len(shown.splitlines()) <= 1 and not {"\x1b", "\u202e", "\t"} & set(shown)
    if name.isprintable():
        assert shown == name


def test_what_is_shown_as_an_escape():
    assert printable("a\nb\x1b\u202ec\udcff") == r"a\nb\x1b\u202ec\udcff"
    assert printable("a\n\tb\r", keep="\n") == "a\n\\tb\\r"


@pytest.mark.parametrize("name", NAMES)
def test_a_cell_is_no_formula_and_can_be_read_again(name):
    written = cell(name)
    assert from_cell(written) == name
    if written.startswith(("=", "+", "-", "@", "\t", "\r", "\n")):
        float(written)  # but for numbers
    assert (cell(-1.5), cell(3), cell(None)) == (-1.5, 3, None)


def test_a_csv_of_names(tmp_path):
    write_csv(tmp_path / "a.csv", ("name", "seconds"), [(name, -1.5) for name in NAMES])
    text = (tmp_path / "a.csv").read_bytes().decode()
    header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert header == ["name", "seconds"] and [from_cell(row[0]) for row in rows] == list(NAMES)
    assert not any(row[0].startswith(("=", "@")) for row in rows) and {row[1] for row in rows} == {"-1.5"}


def test_no_name_forges_a_line_of_the_log():
    record = logging.LogRecord("x", logging.INFO, "", 1, "read %s", ("a\n[01/01] ERROR: b\x1b[31m\udcff",), None)
    text = LineFormatter("[%(name)s] %(message)s").format(record)
    assert text == "[x] read a\n  [01/01] ERROR: b\\x1b[31m\\udcff"


def test_markdown():
    assert markdown("MIT") == "MIT" and markdown("CC-BY-NC-4.0") == "CC-BY-NC-4.0"
    assert markdown("[a](b)\n# <b>|`x`") == r"\[a\](b)\\n\# \<b\>\|\`x\`"


@pytest.mark.parametrize("name", [*NAMES, "x" * 100_000])
def test_names_are_drawn(name):
    image = np.zeros((40, 60, 3), np.uint8)
    instances = {"boxes": np.array([[1.0, 1, 20, 20]]), "labels": np.array([1])}
    assert draw_instances(image, instances, [name]).any()
    assert draw_lines(image, [name]).shape == image.shape
    assert side_by_side([image], [name]).shape[1] == 60


@pytest.mark.parametrize("far", [1e9, -1e30, np.inf, -np.inf, np.nan])
def test_coordinates_beyond_all_bounds_are_drawn(far):
    image = np.zeros((40, 60, 3), np.uint8)
    polygon = np.array([[0, 0], [far, 0], [far, far], [0, 5]], float)
    instances = {"boxes": np.array([[far, 1, 20, far]]), "labels": np.array([1]), "polygons": [[polygon]]}
    assert draw_instances(image, instances, ["a"]).shape == image.shape
