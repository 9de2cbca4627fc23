"""Queries and what was found for them, as a page or a picture: each query on the left, its matches to the right."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from hiera_det.features.analysis.search import Match
from hiera_det.features.analysis.thumbnails import SIDE, font, thumbnails
from hiera_det.features.store.reader import FeatureStore
from hiera_det.utils.escape import printable
from hiera_det.utils.files import atomic_write

__all__ = ["Tile", "check_sheet", "match_rows", "write_sheet"]

_GAP, _LINE, _TEXT = 12, 18, 13  # pixels: between tiles, of a line of the caption, of its letters
_QUERY, _INK = (31, 119, 180), (0, 0, 0)

_LONGEST = 1000  # characters of a line
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 13px/1.35 sans-serif; margin: 16px; background: #fff; color: #000; }}
h1 {{ font-size: 16px; }}
.row {{ display: flex; gap: 24px; padding: 16px 4px; border-top: 1px solid #ccc; }}
.matches {{ display: flex; flex-wrap: wrap; gap: 12px; }}
figure {{ margin: 0; flex: none; width: {side}px; }}
.picture {{ height: {side}px; display: flex; align-items: center; justify-content: center; background: #f4f4f4; }}
.query .picture {{ outline: 4px solid #1f77b4; }}
figcaption {{ padding-top: 6px; overflow-wrap: anywhere; }}
</style>
</head>
<body>
<h1>{title}</h1>
{rows}
</body>
</html>
"""


@dataclass(frozen=True)
class Tile:
    """One item of a sheet.

    Args:
        id: of the item.
        picture: of at most 200 x 200 pixels.
        score: similarity to the query of its row; None: it is the query.
    """

    id: str
    picture: Image.Image
    score: float | None = None

    @property
    def headline(self) -> str:
        """The score, or that it is the query."""
        return "query" if self.score is None else f"{self.score:.4f}"


def check_sheet(path: str | Path) -> None:
    """Refuse a file that :func:`write_sheet` cannot write, before the work that leads to it.

    Raises:
        ValueError: the ending is neither .html nor .png.
    """
    if Path(path).suffix.lower() not in (".html", ".png"):
        raise ValueError(f"a contact sheet is a page (.html) or a picture (.png), not {Path(path).name!r}")


def match_rows(
    query_store: FeatureStore, query_ids: Sequence[str], store: FeatureStore, found: Sequence[Sequence[Match]]
) -> list[list[Tile]]:
    """Rows for :func:`write_sheet`, with the items' pictures.

    Args:
        query_store: store of the queries.
        query_ids: of the queries.
        store: store of the matches.
        found: the matches of each query.
    """
    queries = thumbnails(query_store, set(query_ids))
    pictures = thumbnails(store, {match.id for matches in found for match in matches})
    return [
        [Tile(query, queries[query]), *(Tile(match.id, pictures[match.id], match.score) for match in matches)]
        for query, matches in zip(query_ids, found, strict=True)
    ]


def write_sheet(path: str | Path, rows: Sequence[Sequence[Tile]], title: str) -> None:
    """Write a page (``.html``, which holds its pictures and needs nothing else) or a picture (``.png``).

    Args:
        path: of the file; folders are made.
        rows: at least one, each a query and its matches.
        title: above all.

    Raises:
        ValueError: the ending is neither .html nor .png.
    """
    check_sheet(path)
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(target) as temporary:
        if target.suffix.lower() == ".html":
            temporary.write_text(_page(rows, title), encoding="utf-8")
        else:
            _picture(rows, title).save(temporary)


def _page(rows: Sequence[Sequence[Tile]], title: str) -> str:
    lines = []
    for query, *matches in rows:
        figures = "\n".join(map(_figure, matches))
        lines.append(f'<div class="row">\n{_figure(query)}\n<div class="matches">\n{figures}\n</div>\n</div>')
    return _PAGE.format(title=html.escape(printable(title)), side=SIDE, rows="\n".join(lines))


def _figure(tile: Tile) -> str:
    data = io.BytesIO()
    tile.picture.save(data, "JPEG", quality=85)
    name = html.escape(printable(tile.id))
    source = f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"
    kind = ' class="query"' if tile.score is None else ""
    return (
        f'<figure{kind}><div class="picture"><img src="{source}" alt="{name}"></div>'
        f"<figcaption><b>{tile.headline}</b><br>{name}</figcaption></figure>"
    )


def _picture(rows: Sequence[Sequence[Tile]], title: str) -> Image.Image:
    width, height = SIDE + _GAP, SIDE + 2 * _LINE + 2 * _GAP  # of a cell
    top = _GAP + 2 * _LINE
    sheet = Image.new("RGB", (_GAP + max(map(len, rows)) * width, top + len(rows) * height), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, _GAP), _shorten(title, sheet.width - 2 * _GAP, _TEXT + 3), _INK, font(_TEXT + 3))
    for i, row in enumerate(rows):
        for j, tile in enumerate(row):
            _place(sheet, draw, tile, _GAP + j * width, top + i * height)
    return sheet


def _place(sheet: Image.Image, draw: ImageDraw.ImageDraw, tile: Tile, left: int, top: int) -> None:
    picture = tile.picture
    x, y = left + (SIDE - picture.width) // 2, top + (SIDE - picture.height) // 2
    sheet.paste(picture, (x, y))
    if tile.score is None:
        frame = (left - 4, top - 4, left + SIDE + 3, top + SIDE + 3)
        draw.rectangle(frame, outline=_QUERY, width=4)
    draw.text((left, top + SIDE + 6), tile.headline, _INK, font(_TEXT))
    draw.text((left, top + SIDE + 6 + _LINE), _shorten(tile.id, SIDE, _TEXT), _INK, font(_TEXT))


def _shorten(text: str, width: int, size: int) -> str:
    """The text on one line of `width` pixels; of what is too long the end is kept, which tells files apart."""
    line = printable(" ".join(text.split()))[-_LONGEST:]
    if font(size).getlength(line) <= width:
        return line
    while line and font(size).getlength(f"…{line}") > width:
        line = line[1:]
    return f"…{line}"
