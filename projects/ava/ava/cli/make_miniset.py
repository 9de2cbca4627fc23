"""Generate the AVA mini-set: figures that walk, jump, wave, stand and crouch, in AVA's formats.

python projects/ava/make_miniset.py --output datasets/ava_mini
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from hiera_det.projects.ava.miniset import write_miniset


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--output", metavar="DIR", type=Path, required=True, help="folder to write; must be new or empty")
    add("--num-train", type=int, default=600, metavar="N", help="training clips (%(default)s)")
    add("--num-val", type=int, default=150, metavar="N", help="validation clips (%(default)s)")
    add("--image-size", type=int, default=128, metavar="N", help="side in pixels, even (%(default)s)")
    add("--seed", type=int, default=0, help="the same seed gives the same clips (%(default)s)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run."""
    args = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    write_miniset(
        args.output, num_train=args.num_train, num_val=args.num_val, image_size=args.image_size, seed=args.seed
    )
