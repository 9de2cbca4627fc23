#!/usr/bin/env python
"""Compare Hiera backbones in one run: python tools/benchmark.py backbone --vs original,timm,transformers,sam2."""

import argparse
import json
from pathlib import Path

import torch

from hiera_det.benchmark.backbone import DTYPES, as_json, compare, format_table
from hiera_det.files import written_aside


def main() -> None:
    """Parse the arguments and print a table for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    backbone = commands.add_parser("backbone", help="forward passes of the backbones")
    backbone.add_argument("--variant", default="hiera_base_224")
    backbone.add_argument("--ours", default="released,windowed,windowed-sam2", help="this package's contenders")
    backbone.add_argument("--vs", default="original,timm,transformers,sam2", help="the others")
    backbone.add_argument("--sizes", default="224,1024", help="sides of the images, in pixels")
    backbone.add_argument("--batch", type=int, default=1)
    backbone.add_argument("--dtype", choices=DTYPES, default="fp32")
    backbone.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    backbone.add_argument("--rounds", type=int, default=5, help="counted forward passes of each")
    backbone.add_argument("--json", type=Path, help="also write the results to this file")
    args = parser.parse_args()

    names = [name for part in (args.ours, args.vs) for name in part.split(",") if name]
    print(
        f"{args.variant}, batch {args.batch}, {args.dtype}, {args.device}, {torch.get_num_threads()} threads, ",
        end="",
    )
    print(f"torch {torch.__version__}; ratios are our time over theirs: below 1, ours is faster")
    results = []
    for size in map(int, args.sizes.split(",")):
        found = compare(
            names,
            variant=args.variant,
            size=size,
            batch=args.batch,
            dtype=args.dtype,
            device=args.device,
            rounds=args.rounds,
        )
        print(format_table(found), flush=True)
        results += as_json(found)
    if args.json:
        with written_aside(args.json) as aside:
            aside.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
