"""Config files of unknown origin: YAML with ``_BASE_``, of plain values, of bounded size whatever its aliases are."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from hiera_det.utils.nested import DEEPEST, MOST, shown, walk
from hiera_det.utils.text import read_text

__all__ = ["bases_of", "read_yaml"]

_BASE = "_BASE_"
_MOST_FILES = 32
_MOST_CHARACTERS = 4_000_000  # of a file and its bases; PyYAML reads a million a second
_LONGEST = 1000  # characters of a number
_PREFIX = "tag:yaml.org,2002:"
_TAGS = {f"{_PREFIX}{name}" for name in ("str", "int", "float", "bool", "null", "merge", "map", "seq")}
_TEXT = f"{_PREFIX}str"


def read_yaml(path: Path) -> dict[str, Any]:
    """The values of a YAML file and of the files it is based on, in nested dicts.

    ``_BASE_`` names a file, or a list of them, from the folder of the file that has it; later ones come over earlier
    ones, and the file's own values over all.

    Raises:
        OSError: there is no such file.
        ValueError: one of them is no YAML file, holds no mapping, or is too large; or it is its own base.
    """
    return _Files().read(path, ())


class _Files:
    """A file and its bases: how many they are, and how large all together."""

    def __init__(self) -> None:
        self._files = self._characters = 0

    def read(self, path: Path, above: tuple[str, ...]) -> dict[str, Any]:
        """Read a file; ``above`` are those that it is a base of."""
        real = os.path.realpath(path)
        if real in above:
            raise ValueError(f"{path}: it is based on itself ({_BASE})")
        text = read_text(path)
        self._files += 1
        self._characters += len(text)
        if self._files > _MOST_FILES or self._characters > _MOST_CHARACTERS:
            raise ValueError(
                f"{path}: with the files that it is based on, a config has more than {_MOST_FILES} files or"
                f" {_MOST_CHARACTERS} characters"
            )
        own = _parse(text, path)
        values: dict[str, Any] = {}
        for base in _bases(own, path):
            if not base.is_file():
                raise FileNotFoundError(f"{path}: {_BASE} is {shown(own[_BASE])}, but there is no file {base}")
            values = _over(self.read(base, (*above, real)), values, path)
        return _over({key: value for key, value in own.items() if key != _BASE}, values, path)


def bases_of(path: Path) -> list[Path]:
    """The files that one is directly based on.

    Raises:
        OSError, ValueError: as of :func:`read_yaml`.
    """
    return _bases(_parse(read_text(path), path), path)


def _bases(values: Mapping[str, Any], path: Path) -> list[Path]:
    names = values.get(_BASE, [])
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{path}: {_BASE} is {shown(names)}; expected the name of a file, or a list of names")
    return [path.parent / os.path.expanduser(name) for name in names]


def _over(values: Mapping[str, Any], below: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Values over others, node by node."""
    merged = dict(below)
    for key, value in values.items():
        if isinstance(value, dict) and key in below:
            if not isinstance(below[key], dict):
                raise ValueError(f"{path}: {key} has keys below it, but in a file that it is based on a value")
            value = _over(value, below[key], path)
        merged[key] = value
    return merged


class _Loader(yaml.SafeLoader):
    """PyYAML's, which stops at too many values or levels: it composes nodes by recursion."""

    _count = _level = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self._count += 1
        self._level += 1
        if self._count > MOST or self._level > DEEPEST:
            raise _error(self.peek_event().start_mark, f"more than {MOST} values, or than {DEEPEST} levels of them")
        node = super().compose_node(parent, index)
        self._level -= 1
        return node


def _parse(text: str, path: Path) -> dict[str, Any]:
    """The mapping that is the text of one file."""
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise ValueError("it holds no mapping of keys to values; `hiera-det configs --copy DIR` gives examples")
        for node in walk(root, _nodes_in):  # aliases may stand for very many, and merge keys would copy them
            _check_node(node, loader)
        return loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        raise ValueError(f"{path}: {_error(error.problem_mark, error.problem)}") from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from error


def _nodes_in(node: yaml.Node) -> Iterable[yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        return (one for pair in node.value for one in pair)
    return node.value if isinstance(node, yaml.SequenceNode) else None


def _check_node(node: yaml.Node, loader: _Loader) -> None:
    """Check that a node is text, a number, true, false, null, a list, or a mapping in which no key stands twice."""
    usual = loader.resolve(type(node), node.value, (True, False))
    if node.tag not in {_TEXT, usual} & _TAGS:
        raise _error(node.start_mark, f"{node.tag.removeprefix(_PREFIX)} is no type of values here; put text in quotes")
    if isinstance(node, yaml.ScalarNode) and node.tag != _TEXT and len(node.value) > _LONGEST:
        raise _error(node.start_mark, f"a number of {len(node.value)} characters")
    if isinstance(node, yaml.MappingNode):
        names = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        if twice := [name for name, times in names.items() if times > 1]:
            raise _error(node.start_mark, f"in the mapping that begins here the key {shown(twice[0])} stands twice")


def _error(mark: yaml.Mark | None, text: str | None) -> ValueError:
    return ValueError(text if mark is None else f"line {mark.line + 1}: {text}")
