"""From the inputs of a run to its items, in a fixed order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hiera_det.inputs.clips import clips_at, clips_every
from hiera_det.inputs.items import Item
from hiera_det.inputs.sources import Finder
from hiera_det.inputs.tables import read_boxes

__all__ = ["find_items"]


def find_items(
    inputs: Sequence[str],
    *,
    every: float | None = None,
    times: Path | None = None,
    boxes: Path | None = None,
    video: bool = False,
    image_root: Path | None = None,
    coco_boxes: bool = False,
    unreadable: list[str] | None = None,
) -> list[Item]:
    """Find all images, or all clips of videos, that the inputs stand for.

    An input is, with the ids of its items and their order:
        a file: its name.
        a folder: all files of the kind below it, by path relative to it, sorted; hidden ones are left out.
        a glob, ``**`` too: by path relative to the folders before the first wildcard, sorted.
        a list ``.txt`` of a path per line, relative to the list's folder (empty lines and those that begin with ``#``
            are skipped): the paths as written, in their order.
        a COCO file ``.json``: the image ids, ascending.
        a tar file, also ``shard-{000..012}.tar`` or ``*.tar``: the names of its members, in their order.
    A clip's id is ``<video's id>@<seconds with 3 decimals>``.

    Args:
        inputs: as above.
        every: seconds from clip to clip of a video.
        times: CSV ``video_id,seconds`` in place of ``every``.
        boxes: CSV ``id,x1,y1,x2,y2``, in pixels of the images as decoded.
        video: videos, else images.
        image_root: folder that the file names of COCO files start from; None: by COCO's layout.
        coco_boxes: take the boxes of the COCO files, without crowd regions.
        unreadable: gets a line for each folder below an input, tar file of several and name that cannot be read, which
            are left out with a warning.

    Raises:
        OSError: a file or folder is not there or cannot be read.
        ValueError: an input has nothing of the kind in it or is damaged, an id comes twice, options exclude each other,
            or a table is malformed or names unknown ids.
    """
    if not inputs:
        raise ValueError("no input is given; expected files, folders, globs, lists, COCO files or tar files")
    if video and (every is None) == (times is None):
        raise ValueError("features of videos need either the seconds between clips or a table of their times")
    if not video and (every is not None or times is not None):
        raise ValueError("times of clips are given, but images are wanted")
    if boxes is not None and coco_boxes:
        raise ValueError("boxes come either from a table or from the COCO file, but both are asked for")
    if coco_boxes and not any(source.lower().endswith(".json") for source in inputs):
        raise ValueError(f"boxes are to come from a COCO file, but none is among the inputs: {' '.join(inputs)}")
    unreadable = [] if unreadable is None else unreadable
    finder = Finder(video, image_root, coco_boxes, unreadable)
    items = [item for source in inputs for item in finder.find(source)]
    if not items:
        raise ValueError(f"nothing of {' '.join(inputs)} can be read: {'; '.join(unreadable[:3])}")
    _check_names(
        items,
        "give only one of them, or of files in folders the folder above both or a list of their paths; "
        "tar or COCO files that share ids go into runs of their own",
    )
    if every is not None:
        items = clips_every(items, every)
        _check_names(items, "give more seconds from clip to clip")
    elif times is not None:
        items = clips_at(items, times)
    return items if boxes is None else _with_boxes(items, boxes)


def _check_names(items: Sequence[Item], advice: str) -> None:
    seen: dict[str, Item] = {}
    for item in items:
        first = seen.setdefault(item.id, item)
        if first is not item and first.member and first.source == item.source:
            places = f"at bytes {first.offset} and {item.offset}"
            raise ValueError(f"{item.path} holds {item.member!r} twice, {places}; pack it again, each name once")
        if first is not item:
            raise ValueError(f"id {item.id!r} comes twice, from {first.source} and from {item.source}; {advice}")
        try:
            f"{item.id}{item.source}".encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"the name {item.source!r} is not in UTF-8, as ids are; rename it") from error


def _with_boxes(items: Sequence[Item], table: Path) -> list[Item]:
    boxes = read_boxes(table)
    unknown = boxes.keys() - {item.id for item in items}
    if unknown:
        raise ValueError(
            f"{table}: {len(unknown)} ids are not among the {len(items)} items, such as {min(unknown)!r}; "
            f"an id is there like {items[0].id!r}"
        )
    return [replace(item, boxes=boxes[item.id]) if item.id in boxes else item for item in items]
