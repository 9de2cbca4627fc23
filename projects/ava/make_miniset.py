"""Generate the AVA mini-set: figures that walk, jump, wave, stand and crouch, in AVA's formats.

Usage: python projects/ava/make_miniset.py --output datasets/ava_mini
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from hiera_det.projects.ava.miniset import write_miniset

from hiera_det.cli.errors import user_errors


def main() -> None:
    """Parse the arguments and write the set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder to write; must be new or empty")
    parser.add_argument("--num-train", type=int, default=600, help="training clips (default 600)")
    parser.add_argument("--num-val", type=int, default=150, help="validation clips (default 150)")
    parser.add_argument("--image-size", type=int, default=128, help="side in pixels, even (default 128)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same clips (default 0)")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with user_errors():
        write_miniset(
            args.output,
            num_train=args.num_train,
            num_val=args.num_val,
            image_size=args.image_size,
            seed=args.seed,
        )


if __name__ == "__main__":
    main()
