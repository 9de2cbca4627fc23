"""Label maps: names and ids of actions, in blocks as AVA's or in lines as of mmaction2 and spreadsheets."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from hiera_det.data.class_names import check_category_ids, check_class_names
from hiera_det.projects.ava.label_blocks import read_blocks
from hiera_det.projects.ava.label_lines import read_label_lines
from hiera_det.projects.ava.rows import MAX_ACTION
from hiera_det.utils.problems import Problems
from hiera_det.utils.text import read_text

__all__ = ["read_label_map"]

logger = logging.getLogger(__name__)

_EXPECTED = 'expected blocks item { name: "…" id: … } (AVA\'s .pbtxt), or lines of id: name, id,name or name,id'
_MAX_BYTES = 2 << 20
_OTHERS = {"{": "JSON", "[": "JSON", "<": "XML or HTML"}
_BLOCK = re.compile(r"^[^\S\n]*\w+\s*:?\s*\{", re.MULTILINE)
_COMMENT = re.compile(r"^[^\S\n]*#.*", re.MULTILINE)


def read_label_map(path: str | Path) -> dict[int, str]:
    """Read a label map: blocks ``item { name: "…" id: … }``, also ``label``, ``label_id``, or a line for each action.

    What follows a ``#`` is a comment. Two ids may have one name: where a name is a key, they are told apart by
    :func:`hiera_det.data.class_names.distinct_names`.

    Returns:
        The action names by id, ids ascending.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no text, or something else; an entry lacks its name or id, an id is below 1 or has two names.
            The lines are named.
    """
    text = re.sub(r"\r\n?", "\n", read_text(path, max_bytes=_MAX_BYTES))
    if (first := text.lstrip()[:1]) in _OTHERS:
        raise ValueError(f"{path} looks like {_OTHERS[first]}; {_EXPECTED}")
    problems, names, again = Problems(path), dict[int, str](), 0
    read = read_blocks if _BLOCK.search(_COMMENT.sub("", text)) else read_label_lines
    for line, number, name in read(text, problems):
        if not 1 <= number <= MAX_ACTION:
            problems.add(f"line {line}", f"id {number}, {name!r}: ids start at 1 and end at {MAX_ACTION}")
        elif number not in names:
            names[number] = name
        elif names[number] != name:
            problems.add(f"line {line}", f"id {number}, {name!r}: the id is that of {names[number]!r} already")
        else:
            again += 1
    _raise(problems)
    if not names:
        raise ValueError(f"{path} has no action; {_EXPECTED}")
    if again:
        logger.warning("%s: %d entries come a second time; each is read once", path, again)
    if len(set(names.values())) < len(names):
        logger.warning("%s: some names have several ids; figures name them as name (id N)", path)
    check_category_ids(list(names), check_class_names(list(names.values()), str(path)), str(path))
    return dict(sorted(names.items()))


def _raise(problems: Problems) -> None:
    try:
        problems.raise_any()
    except ValueError as error:
        raise ValueError(f"{error}\n  {_EXPECTED}") from None
