"""Generate the "shapes" dataset: COCO-format detection and segmentation data where none is at hand.

Usage: python tools/make_shapes.py --output datasets/shapes
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from hiera_det.detection.data.shapes import write_shapes


def main() -> None:
    """Parse the arguments and write the dataset."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder to write; must be new or empty")
    parser.add_argument("--num-train", type=int, default=1500, help="training pictures (default 1500)")
    parser.add_argument("--num-val", type=int, default=200, help="validation pictures (default 200)")
    parser.add_argument("--image-size", type=int, default=128, help="side in pixels (default 128)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same pictures (default 0)")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        write_shapes(
            args.output,
            num_train=args.num_train,
            num_val=args.num_val,
            image_size=args.image_size,
            seed=args.seed,
        )
    except (ValueError, OSError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
