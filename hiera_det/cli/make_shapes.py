"""Generate the "shapes" dataset: COCO-format detection and segmentation data where none is at hand.

python tools/make_shapes.py --output datasets/shapes
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from hiera_det.detection.data.shapes import write_shapes


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--output", metavar="DIR", type=Path, required=True, help="folder to write; must be new or empty")
    add("--num-train", type=int, default=1500, metavar="N", help="training images (%(default)s)")
    add("--num-val", type=int, default=200, metavar="N", help="validation images (%(default)s)")
    add("--image-size", type=int, default=128, metavar="N", help="side in pixels (%(default)s)")
    add("--seed", type=int, default=0, help="the same seed gives the same images (%(default)s)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run."""
    args = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    write_shapes(
        args.output, num_train=args.num_train, num_val=args.num_val, image_size=args.image_size, seed=args.seed
    )
