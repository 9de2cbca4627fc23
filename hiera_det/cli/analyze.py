"""Count a detector's parameters and multiply-adds, by part.

hiera-det analyze --config mask_rcnn_hiera_b --size 512
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from hiera_det.cli.parser import CommandParser
from hiera_det.config import load_config
from hiera_det.detection.complexity import count_complexity, format_complexity


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(__doc__)
    add = parser.add_argument
    add("--config", "--config-file", metavar="FILE", required=True, help="a YAML file, or the name of a shipped one")
    add("--size", type=int, default=1024, help="side of the square image, in pixels (%(default)s)")
    parser.add_overrides()
    return parser.parse_intermixed_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run."""
    args = parse(arguments)
    print(format_complexity(count_complexity(load_config(args.config, args.overrides), args.size)))
