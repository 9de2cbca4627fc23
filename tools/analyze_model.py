#!/usr/bin/env python
"""Count a detector's parameters and multiply-adds: python tools/analyze_model.py --config FILE [KEY VALUE ...]."""

import argparse

from hiera_det.config import load_config
from hiera_det.detection.complexity import count_complexity, format_complexity


def main() -> None:
    """Parse the arguments and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True, help="a YAML file of configs/")
    parser.add_argument("--size", type=int, default=1024, help="side of the square image, in pixels")
    parser.add_argument("opts", nargs="*", metavar="KEY VALUE", help="overrides of the config")
    args = parser.parse_args()
    print(format_complexity(count_complexity(load_config(args.config, args.opts), args.size)))


if __name__ == "__main__":
    main()
