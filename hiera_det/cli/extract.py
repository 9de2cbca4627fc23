"""Features of a frozen Hiera for images or video clips, into a store of safetensors and Parquet files.

    hiera-det extract --config features_hiera_b --weights hiera.pth --input photos/ --output features/
    torchrun --nproc-per-node 8 -m hiera_det extract ...
    hiera-det extract --output features/ --verify

The same command goes on where an earlier one was stopped. An input is an image, a folder, a glob in quotes, a list of
paths (.txt), a COCO JSON, or WebDataset shards (.tar, also "train-{000..012}.tar"); for a video variant (*_16x224) a
video, or a folder, glob or list of videos. Overrides of config keys come last.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from hiera_det.cli.parser import CommandParser
from hiera_det.config import load_config
from hiera_det.features.config import defaults
from hiera_det.features.run import ENGINES, extract
from hiera_det.features.store.verify import verify_store
from hiera_det.hiera.variants import is_video
from hiera_det.inputs.find import find_items
from hiera_det.utils.escape import printable
from hiera_det.utils.logs import show_log


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(__doc__)
    model = parser.add_argument_group("model").add_argument
    model("--config", "--config-file", metavar="FILE", help="YAML file, or the name of a shipped one: what to extract")
    model("--weights", metavar="SOURCE", help="weights of a Hiera, a file, URL or name; default: MODEL.WEIGHTS")
    inputs = parser.add_argument_group("input")
    parser.add_list(inputs, "--input", metavar="PATH", help="images or videos")
    add = inputs.add_argument
    add("--image-root", metavar="DIR", help="image folder of a COCO JSON; default: as COCO's layout has it")
    add("--boxes", metavar="CSV", help="boxes for the vectors roi: id,x1,y1,x2,y2 in pixels")
    add("--coco-boxes", action="store_true", help="take the boxes of the COCO JSON's annotations instead")
    add("--every", type=float, metavar="S", help="seconds between the clips of a video")
    add("--times", metavar="CSV", help="times of clips instead: video_id,seconds")
    add(
        "--strict",
        action="store_true",
        help="fail at the end if something could not be read",
    )
    output = parser.add_argument_group("output and processes").add_argument
    output("--output", metavar="DIR", required=True, help="folder of the store")
    output(
        "--engine", choices=ENGINES, default="torch", help="torch (one process, or torchrun), or a Ray cluster (torch)"
    )
    output("--verify", action="store_true", help="compare the store with its checksums, and do nothing else")
    parser.add_overrides()
    args = parser.parse_with_keys(arguments, lambda _: defaults())
    if not args.verify and not (args.config and args.input):
        parser.error("--config and --input are needed")
    return args


def main(arguments: Sequence[str] | None = None) -> None:
    """Run."""
    args = parse(arguments)
    show_log()
    if args.verify:
        verify(args.output)
        return
    weights = ["MODEL.WEIGHTS", args.weights] if args.weights else []
    cfg = load_config(args.config, [*args.overrides, *weights], defaults())
    unreadable: list[str] = []
    items = find_items(
        args.input,
        video=is_video(cfg.MODEL.HIERA.NAME),
        every=args.every,
        times=args.times and Path(args.times),
        boxes=args.boxes and Path(args.boxes),
        coco_boxes=args.coco_boxes,
        image_root=args.image_root and Path(args.image_root),
        unreadable=unreadable,
    )
    failed = extract(cfg, items, args.output, engine=args.engine)
    print(f"{len(items) - failed} items in {args.output}, {failed} could not be read")
    if args.strict and (failed or unreadable):
        others = f" and {len(unreadable)} inputs, such as: {unreadable[0]}," if unreadable else ""
        raise ValueError(f"{failed} of {len(items)} items{others} could not be read (--strict); the rest is written")


def verify(root: str) -> None:
    """Print what is wrong with a store, and end with 1 if anything is."""
    problems = verify_store(root)
    print("\n".join(map(printable, problems)) if problems else f"{root}: sound")
    if problems:
        raise SystemExit(1)
