"""What a file of a trained model says of it besides its weights: task, config, classes, where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import hiera_det
from hiera_det.data.class_names import check_category_ids, check_class_names, check_encodable
from hiera_det.utils.nested import check_plain, shown

__all__ = ["Description"]

_LONGEST = 1000  # characters of an entry
_LIMIT = 2**63  # of numbers


@dataclass(frozen=True)
class Description:
    """What a file says of a trained model; None: it does not say.

    Attributes:
        task: "detection" or "actions".
        config: the values of the whole config, in nested dicts.
        class_names: in the order of the model's outputs.
        category_ids: of the classes in the training set; there where ``class_names`` are.
        licence: of the weights that the training began with; None also where it began with none.
        iteration: the last finished one, counted from 0.
        version: of this package.
    """

    task: str | None = None
    config: dict[str, Any] | None = None
    class_names: list[str] | None = None
    category_ids: list[int] | None = None
    licence: str | None = None
    iteration: int | None = None
    version: str | None = None

    @classmethod
    def now(cls, **values: Any) -> Description:
        """A description by this version of the package."""
        return cls(version=hiera_det.__version__, **values)

    def to_plain(self) -> dict[str, Any]:
        """The entries of a checkpoint or a config.json, all of plain values."""
        entries = {
            "task": self.task,
            "config": self.config,
            "class_names": self.class_names,
            "category_ids": self.category_ids,
            "licence": self.licence,
            "iteration": self.iteration,
            "hiera_det_version": self.version,
        }
        return {name: value for name, value in entries.items() if value is not None}

    @classmethod
    def from_plain(cls, entries: Mapping[str, Any], source: str) -> Description:
        """Read the entries of a checkpoint or a config.json; files of 0.1.0 have classes and iteration alone.

        Args:
            entries: the file's; others than those of :meth:`to_plain` are left alone.
            source: the file, for messages.

        Raises:
            ValueError: an entry is of another type or size than this package writes.
        """
        names = ids = None
        if "class_names" in entries:
            names = check_class_names(entries["class_names"], source)
            ids = entries.get("category_ids", entries.get("class_ids"))  # the latter in 0.1.0's for actions
            ids = list(range(1, len(names) + 1)) if ids is None else check_category_ids(ids, names, source)
        config = entries.get("config")
        if config is not None:
            _check_config(config, source)
        return cls(
            _entry(entries, "task", str, source),
            config,
            names,
            ids,
            _entry(entries, "licence", str, source),
            _entry(entries, "iteration", int, source),
            _entry(entries, "hiera_det_version", str, source),
        )


def _entry(entries: Mapping[str, Any], name: str, kind: type, source: str) -> Any:
    value = entries.get(name)
    if value is not None and type(value) is not kind:
        raise ValueError(f"{source}: the entry {name!r} is a {type(value).__name__}, expected {kind.__name__}")
    if isinstance(value, str):
        if len(value) > _LONGEST:
            raise ValueError(f"{source}: the entry {name!r} has {len(value)} characters, expected at most {_LONGEST}")
        check_encodable(value, f"{source}: the entry {name!r}")
    if isinstance(value, int) and not 0 <= value < _LIMIT:
        raise ValueError(f"{source}: the entry {name!r} is {shown(value)}, expected a number of 63 bits")
    return value


def _check_config(config: Any, source: str) -> None:
    """Check that a config is nested dicts of plain values; lists may share others, so that a small file holds many."""
    try:
        check_plain(config)
    except ValueError as error:
        raise ValueError(f"{source}: the config: {error}") from error
    if not isinstance(config, Mapping):
        raise ValueError(f"{source}: the config is a {type(config).__name__}, expected nodes, keys and values")
