"""Run the main job on a small generated dataset: generate, train, evaluate, predict.

    hiera-det quickstart
    hiera-det quickstart --output output/quickstart SOLVER.MAX_ITER 20 SOLVER.STEPS [] SOLVER.WARMUP_ITERS 5

It takes minutes on two CPU cores and needs no download. OUTPUT then holds a run's files, and drawn predictions of the
validation images in OUTPUT/predictions.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from hiera_det.cli import predict, train
from hiera_det.cli.parser import CommandParser
from hiera_det.detection.data.shapes import write_shapes

__all__ = ["main", "parse"]


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(__doc__)
    folders = parser.add_argument_group("folders").add_argument
    folders("--output", metavar="DIR", default="output/quickstart", help="folder of the run (%(default)s)")
    folders(
        "--datasets", metavar="DIR", default="datasets", help="folder that gets the dataset, as shapes/ (%(default)s)"
    )
    data = parser.add_argument_group("dataset").add_argument
    data("--num-train", type=int, default=1500, metavar="N", help="training images (%(default)s)")
    data("--num-val", type=int, default=200, metavar="N", help="validation images (%(default)s)")
    parser.add_overrides()
    return parser.parse_intermixed_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run."""
    args = parse(arguments)
    root = Path(args.datasets) / "shapes"
    print(f"dataset: {root}", file=sys.stderr)
    write_shapes(root, num_train=args.num_train, num_val=args.num_val)
    sets = {name: (root / "annotations" / f"instances_{name}.json", root / name) for name in ("train", "val")}
    jsons, roots = zip(*((str(json), str(images)) for json, images in sets.values()), strict=True)
    data = ["--dataset-json", *jsons, "--image-root", *roots]
    train.main(
        ["--config", "quickstart", "--backend", "torchvision", *data, "OUTPUT_DIR", args.output, *args.overrides]
    )
    target = Path(args.output) / "predictions"
    predict.main(["--weights", args.output, "--input", roots[1], "--output", str(target)])
    print(f"done: log, metrics and checkpoints are in {args.output}, drawn predictions in {target}")
