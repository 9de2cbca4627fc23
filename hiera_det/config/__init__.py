"""Configuration of runs: defaults, YAML files with bases, overrides, the shipped files by name."""

from fvcore.common.config import CfgNode

from hiera_det.config.defaults import add_hiera_config, admit_removed_keys, get_cfg
from hiera_det.config.load import config_from, load_config, save_config, to_plain
from hiera_det.config.ranges import declare_ranges, number, texts, whole
from hiera_det.config.shipped import find_config, shipped_configs
from hiera_det.config.values import pyramid_maps, value_of, with_values

__all__ = [
    "CfgNode",
    "add_hiera_config",
    "admit_removed_keys",
    "config_from",
    "declare_ranges",
    "find_config",
    "get_cfg",
    "load_config",
    "number",
    "pyramid_maps",
    "save_config",
    "shipped_configs",
    "texts",
    "to_plain",
    "value_of",
    "whole",
    "with_values",
]
