"""A COCO JSON as an object that has its lists, or why it is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hiera_det.coco.records import Annotations
from hiera_det.coco.values import shown
from hiera_det.utils.json_text import parse_json
from hiera_det.utils.problems import listed
from hiera_det.utils.text import NotText, read_text

__all__ = ["AnnotationError", "load_lists"]


class AnnotationError(ValueError):
    """Annotations that are not as expected.

    Args:
        source: the file.
        problems: what is wrong, each in one line.
        annotations: what could be read; None: nothing.
    """

    def __init__(self, source: str, problems: list[str], annotations: Annotations | None = None) -> None:
        super().__init__(listed([f"{source}: {problem}" for problem in problems]))
        self.problems = problems
        self.annotations = annotations


def load_lists(json_file: Path, lists: tuple[str, ...]) -> dict[str, Any]:
    """Parse a file, an object that has the given lists.

    Raises:
        AnnotationError: it is something else.
        OSError: it cannot be read.
    """
    try:
        content = parse_json(read_text(json_file, max_bytes=None))
    except NotText as error:
        raise AnnotationError(str(json_file), [f"not a JSON file ({error})"]) from error
    except ValueError as error:
        raise AnnotationError(str(json_file), [str(error)]) from error
    problem = _problem(content, lists)
    if problem is not None:
        raise AnnotationError(str(json_file), [problem])
    return content


def _problem(content: Any, lists: tuple[str, ...]) -> str | None:
    if not isinstance(content, dict):
        return f"expected an object with {', '.join(lists)}; got a {type(content).__name__}"
    for key in lists:
        if not isinstance(content.get(key), list):
            keys = ", ".join(shown(name) for name in list(content)[:5]) or "nothing"
            got = f"{key!r} is a {type(content[key]).__name__}" if key in content else f"there is no {key!r}"
            got += "" if key in content or content.keys() & {"images", "categories"} else f" but {keys}"
            note = "; a test set without annotations cannot be trained on or evaluated"
            return f"{got}, expected a list{note if key == 'annotations' else ''}"
        if not content[key] and key != "annotations":
            return f"{key!r} is empty, expected at least one"
    return None
