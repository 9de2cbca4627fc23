"""Reading and writing of configs: a YAML file or a checkpoint's values over the defaults, then overrides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from fvcore.common.config import CfgNode

from hiera_det.config.defaults import REMOVED, get_cfg
from hiera_det.config.derived import derived_values
from hiera_det.config.ranges import check_ranges
from hiera_det.config.shipped import find_config
from hiera_det.config.values import floats_of_integers, literal_of, value_of, with_values
from hiera_det.config.without_effect import skip_keys, skip_overrides
from hiera_det.config.yaml_files import read_yaml
from hiera_det.utils.files import atomic_write
from hiera_det.utils.nested import check_plain, shown, walk

__all__ = ["config_from", "load_config", "save_config", "to_plain"]

_OVERRIDE = "override on the command line"
_LONGEST = 600  # characters of fvcore's messages


def load_config(source: str | Path, overrides: Sequence[str] = (), defaults: CfgNode | None = None) -> CfgNode:
    """Read a YAML file (with ``_BASE_``) over the defaults, then ``KEY VALUE`` overrides.

    Args:
        source: the YAML file, or the name of a shipped one, such as "mask_rcnn_hiera_b".
        overrides: alternating keys and values, as on a command line: ``["SOLVER.MAX_ITER", "10"]``.
        defaults: all keys that there may be, with their values; None: :func:`get_cfg`'s.

    Returns:
        The config, frozen.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: as of :func:`~hiera_det.config.yaml_files.read_yaml` and :func:`config_from`.
    """
    path = find_config(source)
    return config_from(read_yaml(path), overrides, defaults, source=str(path))


def config_from(
    values: Mapping[str, Any], overrides: Sequence[str] = (), defaults: CfgNode | None = None, *, source: str
) -> CfgNode:
    """Merge values into the defaults, then ``KEY VALUE`` overrides.

    Args:
        values: nested dicts, as in a YAML file or a checkpoint; not changed.
        overrides: as of :func:`load_config`.
        defaults: as of :func:`load_config`.
        source: where the values are from, for messages.

    Returns:
        The config, frozen.

    Raises:
        ValueError: a key is unknown, or a value is of the wrong type or out of range; the message names the key, and
            whether the value is from the source or an override.
    """
    known = get_cfg() if defaults is None else defaults
    cfg = known.clone()
    _merge_values(cfg, values, source)
    _merge_overrides(cfg, overrides)

    def source_of(key: str) -> str:
        return _OVERRIDE if key in overrides[::2] else source

    if cfg.get("TASK") != known.get("TASK"):
        raise ValueError(
            f"{source_of('TASK')}: TASK is {shown(cfg.TASK)}, but this is a config of the task {known.TASK!r}"
        )
    _check_nothing_is_null(cfg, known, source_of)
    check_ranges(cfg, source_of)
    cfg.freeze()
    derived = derived_values(cfg, overrides[::2])
    return with_values(cfg, derived) if derived else cfg


def _merge_values(cfg: CfgNode, values: Mapping[str, Any], source: str) -> None:
    _check_plain(values, source)
    for node in walk(values):
        for key, value in node.items() if isinstance(node, Mapping) else ():
            _check_plain(value, f"{source}: {key}")
    given = deepcopy(dict(values))
    datasets = given.get("DATASETS") or {}
    if isinstance(datasets, dict) and (used := [f"DATASETS.{name}" for name in REMOVED if datasets.get(name)]):
        raise ValueError(f"{source}: {', '.join(used)}: training from stored maps was taken out; leave the keys empty")
    skip_keys(given, cfg, source)
    given = floats_of_integers(given, cfg)
    try:
        cfg.merge_from_other_cfg(CfgNode(given))
    except (KeyError, ValueError, AssertionError, TypeError, AttributeError) as error:
        raise ValueError(f"{source}: {_reason(error)}") from error


def _merge_overrides(cfg: CfgNode, overrides: Sequence[Any]) -> None:
    if len(overrides) % 2:
        raise ValueError(
            f"overrides come as KEY VALUE pairs, but there are {len(overrides)} words: {shown(list(overrides))}"
        )
    for key, value in zip(overrides[::2], overrides[1::2], strict=True):
        if not isinstance(key, str):
            raise ValueError(f"{_OVERRIDE}: {shown(key)} is no key")
        _check_plain(value, f"{_OVERRIDE}: {key}")
    try:
        cfg.merge_from_list(_decoded(skip_overrides(overrides, cfg), cfg))
    except (KeyError, ValueError, AssertionError) as error:
        raise ValueError(f"{_OVERRIDE}: {_reason(error)}") from error


def _check_plain(value: Any, place: str) -> None:
    """Check a value before it is copied; of text also the literal of Python that fvcore makes of it."""
    try:
        check_plain(value)
        if isinstance(value, str):
            check_plain(literal_of(value))
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error


def _decoded(overrides: Sequence[Any], known: CfgNode) -> list[Any]:
    """``KEY VALUE`` words with the integers of float keys as floats."""
    words = list(overrides)
    for i in range(0, len(words), 2):
        if words[i] in [f"DATASETS.{name}" for name in REMOVED]:
            continue
        try:
            default = value_of(known, words[i])
        except KeyError as error:
            raise KeyError(f"Non-existent key: {words[i]}") from error
        if isinstance(default, CfgNode):
            raise ValueError(f"{words[i]} is a node of keys, such as {words[i]}.{next(iter(default))}")
        words[i + 1] = floats_of_integers(words[i + 1], default)
    return words


def _check_nothing_is_null(cfg: CfgNode, defaults: CfgNode, source_of: Callable[[str], str], prefix: str = "") -> None:
    """See that no value is None whose default is not: fvcore takes it in place of any."""
    for key, default in defaults.items():
        name = f"{prefix}{key}"
        if isinstance(default, CfgNode):
            _check_nothing_is_null(cfg[key], default, source_of, f"{name}.")
        elif default is not None and cfg[key] is None:
            raise ValueError(f"{source_of(name)}: {name} is None, expected a value such as its default, {default!r}")


def _reason(error: Exception) -> str:
    text = " ".join(str(error.args[0] if error.args else error).split())
    if len(text) > _LONGEST:  # a value of the user's in its middle
        text = f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"
    if "Non-existent" in text:
        text += (
            " (neither a key of this project nor one of detectron2's that this backend supports; those of the"
            " torchvision backend stand in hiera_det/config/defaults.py, --backend detectron2 takes all of"
            " detectron2's)"
        )
    return text


def to_plain(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """A config as nested dicts, lists, strings, numbers and None, which JSON and checkpoints can hold."""
    return {key: _plain(value) for key, value in cfg.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return to_plain(value)
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value


def save_config(cfg: CfgNode, path: str | Path) -> None:
    """Write the whole config as YAML."""
    with atomic_write(path) as temporary:
        temporary.write_text(cfg.dump(), encoding="utf-8")
