"""Configuration of runs: defaults, YAML files with bases, overrides, the shipped files by name."""

from fvcore.common.config import CfgNode

from hiera_det.config.defaults import add_hiera_config, admit_removed_keys, get_cfg
from hiera_det.config.load import config_from, load_config, save_config, to_plain
from hiera_det.config.shipped import find_config, shipped_configs
from hiera_det.config.values import pyramid_maps, value_of

__all__ = [
    "CfgNode",
    "add_hiera_config",
    "admit_removed_keys",
    "config_from",
    "find_config",
    "get_cfg",
    "load_config",
    "pyramid_maps",
    "save_config",
    "shipped_configs",
    "to_plain",
    "value_of",
]
