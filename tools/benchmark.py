#!/usr/bin/env python
"""Speed, side by side with what else there is, in one run on this machine.

python tools/benchmark.py backbone --sizes 224,512,1024 --batch 1,8 --dtype fp32,bf16 --json out.json --plot out.png
python tools/benchmark.py backbone --variant hiera_base_16x224 --vs original --sizes 224
python tools/benchmark.py backbone --pass forward+backward --compile off,on --device cuda
python tools/benchmark.py detector --config configs/mask_rcnn_hiera_b.yaml --vs torchvision-resnet50,detectron2-vitdet
python tools/benchmark.py train --config configs/mask_rcnn_hiera_b.yaml --batch 2
python tools/benchmark.py ava-eval --keyframes 1000,10000
python tools/benchmark.py features --input photos/ --config configs/features_hiera_b.yaml INPUT.RESIZE crop

Conditions given as lists run in every combination, with a table for each; a plot has the longest list on its x axis.
A peer that is not installed is named as such.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from hiera_det.cli.errors import user_errors
from hiera_det.config import load_config

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/ is in no wheel
from benchmarks.cases import Case
from benchmarks.report import report

# A subcommand imports what it needs itself: every contender's process imports this file, and extras may be missing.

Run = Callable[[argparse.Namespace], Iterator[Case]]


def words(text: str) -> list[str]:
    """Words with commas between."""
    return [word for word in text.split(",") if word]


def numbers(text: str) -> list[int]:
    """Whole numbers from 1 with commas between."""
    values = [int(word) for word in words(text)]
    if not values or min(values) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected whole numbers from 1, such as 1,8")
    return values


OPTIONS: dict[str, dict[str, Any]] = {
    "vs": {"metavar": "NAMES", "type": words, "help": "peers (default: %(default)s)"},
    "ours": {"metavar": "NAMES", "type": words, "help": "this package's contenders (default: %(default)s)"},
    "variant": {"metavar": "NAMES", "type": words, "help": "of Hiera (default: %(default)s)"},
    "sizes": {"metavar": "N,…", "type": numbers, "help": "sides of images in pixels (default: %(default)s)"},
    "frames": {"metavar": "N,…", "type": numbers, "help": "of clips, for video variants (default: the variant's)"},
    "batch": {"metavar": "N,…", "type": numbers, "help": "images or clips (default: %(default)s)"},
    "dtype": {"metavar": "NAMES", "type": words, "help": "fp32, bf16, fp16 (default: %(default)s)"},
    "pass": {"metavar": "NAMES", "type": words, "help": "forward, forward+backward (default: %(default)s)"},
    "compile": {"metavar": "NAMES", "type": words, "help": "torch.compile: off, on (default: %(default)s)"},
    "threads": {"metavar": "N,…", "type": numbers, "help": "of torch (default: %(default)s)"},
    "device": {"choices": ["cpu", "cuda"], "help": "default: %(default)s"},
    "keyframes": {"metavar": "N,…", "type": numbers, "help": "of the tables; AVA's val: 57000 (default: %(default)s)"},
    "dataset-json": {"metavar": "FILE", "help": "COCO annotations to train on (default: generated shapes)"},
    "image-root": {"metavar": "DIR", "help": "the folder of their images"},
    "profile": {"metavar": "DIR", "type": Path, "help": "profile ours: operators by time, and a Chrome trace"},
    "rounds": {"metavar": "N", "type": int, "help": "counted turns of each contender (default: %(default)s)"},
    "json": {"metavar": "FILE", "type": Path, "help": "also write the figures of every round"},
    "plot": {"metavar": "FILE.png", "type": Path, "help": "also draw the times"},
}
ALL = {"rounds": 5, "json": None, "plot": None}
TORCH = {"threads": str(torch.get_num_threads()), "device": "cpu"}
DETECTORS = {"vs": "torchvision-resnet50,detectron2-vitdet", "sizes": None, "dtype": "fp32", "profile": None}


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)

    def add(name: str, run: Run, text: str, **defaults: Any) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text)
        command.set_defaults(run=run)
        for option, default in (defaults | ALL).items():
            option = option.rstrip("_").replace("_", "-")
            command.add_argument(f"--{option}", default=default, **OPTIONS[option])
        return command

    add(
        "backbone", backbone, "trunks on random images or clips",
        vs="original,timm,transformers,sam2", ours="released,windowed,windowed-sam2", variant="hiera_base_224",
        sizes="224,1024", frames=None, batch="1", dtype="fp32", pass_="forward", compile="off",
        profile=None, **TORCH,
    )  # fmt: skip
    extraction = add("features", features, "extraction of features, against its model alone", vs="timm", **TORCH)
    extraction.add_argument("--input", metavar="PATH", nargs="+", required=True, help="images")
    with_config = (
        add("detector", detector, "from an image's pixels to detections", **DETECTORS, **TORCH),
        add("train", train, "steps of training, with the data loader", **DETECTORS, batch="1",
            dataset_json=None, image_root=None, **TORCH),
        extraction,
    )  # fmt: skip
    for command in with_config:
        command.add_argument("--config", metavar="FILE", required=True)
        command.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="config keys and their values")
    add("ava-eval", ava_eval, "the AVA evaluator on generated tables", vs="slowfast", keyframes="5000")
    return parser.parse_args()


def backbone(args: argparse.Namespace) -> Iterator[Case]:
    """Trunks."""
    from benchmarks.backbone import compare_backbones

    axes = {
        "variant": args.variant,
        "size": args.sizes,
        "frames": args.frames or [None],
        "batch": args.batch,
        "dtype": args.dtype,
        "pass": vars(args)["pass"],
        "compile": args.compile,
        "threads": args.threads,
    }
    return compare_backbones(args.ours, args.vs, axes, device=args.device, rounds=args.rounds, profile=args.profile)


def detector(args: argparse.Namespace) -> Iterator[Case]:
    """Detectors."""
    from benchmarks.detector import compare_detectors

    axes = {"size": args.sizes or [None], "dtype": args.dtype, "threads": args.threads}
    cfg = load_config(args.config, args.overrides)
    return compare_detectors(cfg, args.vs, axes, device=args.device, rounds=args.rounds, profile=args.profile)


def train(args: argparse.Namespace) -> Iterator[Case]:
    """Detectors in training."""
    from benchmarks.train import compare_training
    from hiera_det.data.catalog import custom_dataset

    if (args.dataset_json is None) != (args.image_root is None):
        raise ValueError("--dataset-json and --image-root go together: give both or neither")
    axes = {"size": args.sizes or [None], "batch": args.batch, "dtype": args.dtype, "threads": args.threads}
    return compare_training(
        load_config(args.config, args.overrides),
        args.vs,
        axes,
        device=args.device,
        rounds=args.rounds,
        files=args.dataset_json and custom_dataset(args.dataset_json, args.image_root),
        profile=args.profile,
    )


def features(args: argparse.Namespace) -> Iterator[Case]:
    """Extraction of features."""
    from benchmarks.features import compare_extraction
    from hiera_det.features.config import get_cfg
    from hiera_det.features.inputs.find import find_items

    cfg, items = load_config(args.config, args.overrides, get_cfg()), find_items(args.input)
    return compare_extraction(cfg, items, args.vs, args.threads, device=args.device, rounds=args.rounds)


def ava_eval(args: argparse.Namespace) -> Iterator[Case]:
    """AVA's evaluators."""
    from benchmarks.ava_eval import compare_evaluators

    return compare_evaluators(args.vs, args.keyframes, rounds=args.rounds)


def main() -> None:
    """Run."""
    args = parse()
    with user_errors():
        report(args.run(args), getattr(args, "device", "cpu"), args.json, args.plot)


if __name__ == "__main__":
    main()
