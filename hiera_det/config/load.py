"""Reading and writing of configs: a YAML file or a checkpoint's values over the defaults, then overrides."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from fvcore.common.config import CfgNode

from hiera_det.config.defaults import REMOVED, get_cfg
from hiera_det.config.shipped import find_config
from hiera_det.config.values import floats_of_integers, value_of
from hiera_det.config.without_effect import skip_keys, skip_overrides
from hiera_det.utils.files import atomic_write
from hiera_det.utils.text import read_text

__all__ = ["config_from", "load_config", "read_yaml", "save_config", "to_plain"]


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
        ValueError: a key is unknown, or a value is of the wrong type; the message names the key.
    """
    path = find_config(source)
    return config_from(read_yaml(path), overrides, defaults, source=str(path))


class _Utf8(CfgNode):
    @classmethod
    def _open_cfg(cls, filename: str) -> io.StringIO:  # fvcore's is read in the locale's encoding
        return io.StringIO(read_text(filename))


def read_yaml(path: Path) -> dict[str, Any]:
    """The values of a YAML file and of the files it is based on, in nested dicts.

    Raises:
        ValueError: it is no YAML file, or holds no mapping.
    """
    try:
        values = _Utf8.load_yaml_with_base(str(path), allow_unsafe=False)
    except (TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} holds no mapping of keys to values; `hiera-det configs --copy DIR` gives examples"
        ) from error
    except (KeyError, ValueError, AssertionError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: {_reason(error)}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds no mapping of keys to values; `hiera-det configs --copy DIR` gives examples")
    return values


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
        ValueError: a key is unknown, or a value is of the wrong type; the message names the key.
    """
    known = get_cfg() if defaults is None else defaults
    cfg = known.clone()
    given = deepcopy(dict(values))
    datasets = given.get("DATASETS") or {}
    if isinstance(datasets, dict) and (used := [f"DATASETS.{name}" for name in REMOVED if datasets.get(name)]):
        raise ValueError(f"{source}: {', '.join(used)}: training from stored maps was taken out; leave the keys empty")
    if len(overrides) % 2:
        raise ValueError(f"overrides come as KEY VALUE pairs, but there are {len(overrides)} words: {list(overrides)}")
    skip_keys(given, cfg, source)
    given = floats_of_integers(given, cfg)
    try:
        cfg.merge_from_other_cfg(CfgNode(given))
    except (KeyError, ValueError, AssertionError, TypeError, AttributeError) as error:
        raise ValueError(f"{source}: {_reason(error)}") from error
    try:
        cfg.merge_from_list(_decoded(skip_overrides(list(overrides), cfg), cfg))
    except (KeyError, ValueError, AssertionError) as error:
        raise ValueError(f"override on the command line: {_reason(error)}") from error
    if cfg.get("TASK") != known.get("TASK"):
        raise ValueError(f"{source}: TASK is {cfg.TASK!r}, but this is a config of the task {known.TASK!r}")
    _check_nothing_is_null(cfg, known, source)
    cfg.freeze()
    return cfg


def _decoded(overrides: list[str], known: CfgNode) -> list[Any]:
    """``KEY VALUE`` words with the integers of float keys as floats."""
    words: list[Any] = list(overrides)
    for i in range(0, len(words), 2):
        try:
            default = value_of(known, words[i])
        except KeyError:  # named when it is merged
            continue
        words[i + 1] = floats_of_integers(words[i + 1], default)
    return words


def _check_nothing_is_null(cfg: CfgNode, defaults: CfgNode, source: str, prefix: str = "") -> None:
    """See that no value is None whose default is not: fvcore takes it in place of any."""
    for key, default in defaults.items():
        if isinstance(default, CfgNode):
            _check_nothing_is_null(cfg[key], default, source, f"{prefix}{key}.")
        elif default is not None and (cfg[key] is None or (isinstance(cfg[key], list | tuple) and None in cfg[key])):
            raise ValueError(
                f"{source}: {prefix}{key} is {cfg[key]!r}, expected values such as its default, {default!r}"
            )


def _reason(error: Exception) -> str:
    text = str(error.args[0] if error.args else error)
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
