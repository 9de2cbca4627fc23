"""Small pictures of items: of an image, or of the middle frame of a clip."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path

import matplotlib
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image, ImageDraw, ImageFont

from hiera_det.features.store.reader import FeatureStore
from hiera_det.inputs.items import Item
from hiera_det.inputs.reading import UnreadableItemError, read_item
from hiera_det.inputs.tars import images_of_tar

__all__ = ["SIDE", "font", "thumbnail", "thumbnails"]

SIDE = 200  # pixels of a thumbnail's longer side

_GREY = (216, 216, 216)
_INK = (96, 96, 96)

logger = logging.getLogger(__name__)


def thumbnails(store: FeatureStore, ids: Collection[str]) -> dict[str, Image.Image]:
    """Thumbnails of items of a store, by id; see :func:`thumbnail`."""
    rows = store.index.filter(pc.is_in(store.index["id"], pa.array(list(ids), pa.string())))
    members: dict[str, dict[str, Item]] = {}  # by tar file and name in it
    pictures = {}
    for row in rows.select(["id", "path", "member", "time"]).to_pylist():
        item = Item(row["id"], row["path"], row["member"], time=row["time"])
        if item.member:
            if item.path not in members:
                members[item.path] = _members(item.path)
            item = members[item.path].get(item.member, item)
        pictures[row["id"]] = thumbnail(item, pixel_range=store.spec.get("INPUT.PIXEL_RANGE", ()))
    return pictures


def _members(path: str) -> dict[str, Item]:
    try:
        return {item.member: item for item in images_of_tar(path)}
    except (OSError, ValueError) as error:
        logger.warning("no pictures of %s: %s", path, error)
        return {}


def thumbnail(item: Item, *, pixel_range: Sequence[float] = ()) -> Image.Image:
    """The item's picture with its longer side at 200 pixels; a grey tile that says so where it cannot be read.

    Why a picture cannot be read goes to the log: files may have been moved since their features were taken.
    """
    try:  # its features were taken within the limit of pixels that their run was given
        pixels = read_item(item, num_frames=1, rate=0, max_pixels=None, pixel_range=pixel_range)  # ((1,) H, W, 3)
    except UnreadableItemError as error:
        logger.warning("no picture: %s", error)
        return _missing()
    image = Image.fromarray(pixels if item.time is None else pixels[0])
    scale = SIDE / max(image.size)
    return image.resize((max(1, round(scale * image.width)), max(1, round(scale * image.height))), reducing_gap=3.0)


def _missing() -> Image.Image:
    tile = Image.new("RGB", (SIDE, SIDE), _GREY)
    ImageDraw.Draw(tile).text((SIDE / 2, SIDE / 2), "no picture", _INK, font(16), anchor="mm")
    return tile


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib brings: it knows more letters than PIL's own font, Greek and Cyrillic ones."""
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), size)
