"""List the shipped configs, or copy them to change them.

    hiera-det configs
    hiera-det configs mask_rcnn_hiera_b ava/hiera_l_16x4 --copy my_configs

A name may stand wherever a command takes a config file: hiera-det train --config quickstart.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from hiera_det.cli.parser import CommandParser
from hiera_det.config import shipped_configs
from hiera_det.config.shipped import copy_configs

__all__ = ["main", "parse"]


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of configs; default: all")
    parser.add_argument("--copy", metavar="DIR", help="copy the files, with those that they are based on, to DIR")
    return parser.parse_intermixed_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run."""
    args = parse(arguments)
    known = shipped_configs()
    names = args.names or list(known)
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"no shipped config is called {', '.join(unknown)}; there are {', '.join(known)}")
    if args.copy is not None:
        for path in copy_configs(names, Path(args.copy)):
            print(path)
        return
    width = max(map(len, names))
    for name in names:
        first = known[name].read_text(encoding="utf-8").splitlines()[0]
        print(f"{name:{width}}  {first.removeprefix('# ').rstrip(':')}")
