#!/usr/bin/env python
"""Speed, side by side in one run.

python tools/benchmark.py backbone --vs original,timm,transformers,sam2
python tools/benchmark.py features --config configs/features_hiera_b.yaml --input photos/
"""

import argparse
import json
from pathlib import Path

import torch

from hiera_det.benchmark.backbone import DTYPES, as_json, compare, format_table
from hiera_det.cli import user_errors
from hiera_det.config import load_config
from hiera_det.files import written_aside


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    backbone = commands.add_parser("backbone", help="forward passes of the backbones")
    backbone.add_argument("--variant", default="hiera_base_224")
    backbone.add_argument("--ours", default="released,windowed,windowed-sam2", help="this package's contenders")
    backbone.add_argument("--vs", default="original,timm,transformers,sam2", help="the others")
    backbone.add_argument("--sizes", default="224,1024", help="sides of the images, in pixels")
    backbone.add_argument("--batch", type=int, default=1)
    backbone.add_argument("--dtype", choices=DTYPES, default="fp32")
    backbone.set_defaults(run=run_backbone)
    features = commands.add_parser("features", help="extraction of features, against its model alone")
    features.add_argument("--config", metavar="FILE", required=True)
    features.add_argument("--input", metavar="PATH", nargs="+", required=True, help="images")
    features.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="config keys and their values")
    features.set_defaults(run=run_features)
    for command in (backbone, features):
        command.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
        command.add_argument("--rounds", type=int, default=5, help="counted rounds")
        command.add_argument("--json", type=Path, help="also write the results to this file")
    return parser.parse_args()


def run_backbone(args: argparse.Namespace) -> list[dict]:
    """Print a table for each size."""
    names = [name for part in (args.ours, args.vs) for name in part.split(",") if name]
    print(f"{args.variant}, batch {args.batch}, {args.dtype}, {machine(args)}; ", end="")
    print("ratios are our time over theirs: below 1, ours is faster")
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
    return results


def run_features(args: argparse.Namespace) -> list[dict]:
    """Print the throughput of model and extraction."""
    # Imported here: the extra "features" is not needed for backbones.
    from hiera_det.benchmark.features import compare_extraction
    from hiera_det.features.config import get_cfg
    from hiera_det.features.inputs.find import find_items

    cfg = load_config(args.config, args.overrides, get_cfg())
    items = find_items(args.input)
    print(f"{cfg.MODEL.HIERA.NAME}, {len(items)} images in batches of {cfg.DATALOADER.BATCH_SIZE}, {machine(args)}")
    found = compare_extraction(cfg, items, device=args.device, rounds=args.rounds)
    print(found.table)
    return [{"items": found.items, "bare": found.bare, "whole": found.whole, "shares": found.shares}]


def machine(args: argparse.Namespace) -> str:
    """What it runs on."""
    return f"{args.device}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def main() -> None:
    """Run."""
    args = parse()
    results = args.run(args)
    if args.json:
        with written_aside(args.json) as aside:
            aside.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    with user_errors():
        main()
