"""Compare speeds with other packages' side by side, in one run on this machine.

python -m benchmarks backbone --sizes 224,512,1024 --batch 1,8 --dtype fp32,bf16 --json out.json --plot out.png
python -m benchmarks backbone --variant hiera_base_16x224 --vs original --sizes 224
python -m benchmarks backbone --pass forward+backward --compile off,on --device cuda
python -m benchmarks detector --config configs/mask_rcnn_hiera_b.yaml --vs torchvision-resnet50,detectron2-vitdet
python -m benchmarks train --config configs/mask_rcnn_hiera_b.yaml --batch 2
python -m benchmarks pretrain --variant mae_hiera_base_16x224 --batch 2 --mask-ratio 0.9
python -m benchmarks ava-eval --keyframes 1000,10000
python -m benchmarks features --input photos/ --config configs/features_hiera_b.yaml INPUT.RESIZE crop

In place of "-m benchmarks", tools/benchmark.py does the same from any folder.
Lists of conditions run in every combination, with a table for each; a plot has the longest list on its x axis.
A baseline that is not installed is named in the table.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.cases import Case
from benchmarks.report import report
from benchmarks.rounds import Settings
from hiera_det.cli.errors import user_errors
from hiera_det.cli.parser import take_keys
from hiera_det.config import load_config

__all__ = ["main"]

# A subcommand's module is imported when it is chosen: extras may be missing, and every candidate's process imports this
# file.


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def _numbers(text: str) -> list[int]:
    values = [int(word) for word in _words(text)]
    if not values or min(values) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected whole numbers from 1, such as 1,8")
    return values


def _ratios(text: str) -> list[float]:
    values = [float(word) for word in _words(text)]
    if not values or min(values) <= 0 or max(values) >= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected numbers between 0 and 1, such as 0.6,0.9")
    return values


_NAMES: dict[str, Any] = {"metavar": "NAMES", "type": _words}
_NUMBERS: dict[str, Any] = {"metavar": "N,…", "type": _numbers}
OPTIONS: dict[str, dict[str, Any]] = {
    "vs": {**_NAMES, "help": "baselines (default: %(default)s)"},
    "ours": {**_NAMES, "help": "this package's candidates (default: %(default)s)"},
    "variant": {**_NAMES, "help": "variants of Hiera (default: %(default)s)"},
    "sizes": {**_NUMBERS, "dest": "size", "help": "side in pixels (default: %(default)s; None: the config's)"},
    "frames": {**_NUMBERS, "help": "frames of a clip, for video variants (default: the variant's)"},
    "batch": {**_NUMBERS, "help": "images or clips in a batch (default: %(default)s)"},
    "mask-ratio": {"metavar": "R,…", "type": _ratios, "help": "share of mask units dropped (default: %(default)s)"},
    "dtype": {**_NAMES, "help": "fp32, bf16, fp16 (default: %(default)s)"},
    "pass": {**_NAMES, "help": "forward, forward+backward (default: %(default)s)"},
    "compile": {**_NAMES, "help": "torch.compile: off, on (default: %(default)s)"},
    "threads": {**_NUMBERS, "help": "torch's threads (default: %(default)s)"},
    "keyframes": {**_NUMBERS, "help": "keyframes of a table; AVA's val has 57000 (default: %(default)s)"},
    "device": {"choices": ["cpu", "cuda"], "help": "device of all candidates (default: %(default)s)"},
    "input": {"metavar": "PATH", "nargs": "+", "required": True, "help": "images"},
    "config": {"metavar": "FILE", "required": True, "help": "a YAML file such as those in configs/"},
    "dataset-json": {"metavar": "FILE", "help": "COCO annotations to train on (default: generated shapes)"},
    "image-root": {"metavar": "DIR", "help": "the folder of their images"},
    "profile": {"metavar": "DIR", "type": Path, "help": "profile ours: operators by time, and a Chrome trace"},
    "rounds": {"metavar": "N", "type": int, "help": "timed runs of each candidate (default: %(default)s)"},
    "json": {"metavar": "FILE", "type": Path, "help": "also write the figures of every round"},
    "plot": {"metavar": "FILE.png", "type": Path, "help": "also draw the times"},
}
AXES = ("variant", "size", "frames", "batch", "mask_ratio", "dtype", "pass", "compile", "threads", "keyframes")
EVERYWHERE = {"rounds": 5, "json": None, "plot": None}
TORCH = {"threads": str(torch.get_num_threads()), "device": "cpu"}
DETECTORS = {"config": None, "vs": "torchvision-resnet50,detectron2-vitdet", "sizes": None, "dtype": "fp32"}
COMMANDS: dict[str, tuple[str, dict[str, Any]]] = {  # help, and options with their defaults
    "backbone": ("backbones on random images or clips", {
        "vs": "original,timm,transformers,sam2", "ours": "released,windowed,windowed-sam2",
        "variant": "hiera_base_224", "sizes": "224,1024", "frames": None, "batch": "1", "dtype": "fp32",
        "pass": "forward", "compile": "off", "profile": None, **TORCH,
    }),
    "detector": ("detectors, from an image's pixels to detections", {**DETECTORS, "profile": None, **TORCH}),
    "train": ("steps of training, data loader included", {
        **DETECTORS, "batch": "1", "dataset-json": None, "image-root": None, "profile": None, **TORCH,
    }),
    "pretrain": ("steps of masked autoencoders' pretraining on random images or clips", {
        "vs": "original", "variant": "mae_hiera_base_224", "sizes": "224", "frames": None, "batch": "8",
        "mask-ratio": "0.6", "dtype": "fp32", "profile": None, **TORCH,
    }),
    "features": ("feature extraction, and its model alone", {"config": None, "input": None, "vs": "timm", **TORCH}),
    "ava-eval": ("evaluators of AVA on generated tables", {"vs": "slowfast", "keyframes": "5000"}),
}  # fmt: skip


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (text, defaults) in COMMANDS.items():
        command = commands.add_parser(name, help=text)
        for option, default in (defaults | EVERYWHERE).items():
            command.add_argument(f"--{option}", default=default, **OPTIONS[option])
        if "config" in defaults:
            command.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="config keys and their values")
    return parser.parse_args()


def _cases(args: argparse.Namespace, settings: Settings) -> Iterator[Case]:
    options = vars(args)
    axes = {axis: options[axis] or [None] for axis in AXES if axis in options}
    if args.command == "backbone":
        from benchmarks.commands.backbone import compare_backbones

        return compare_backbones(args.ours, args.vs, axes, settings)
    if args.command == "detector":
        from benchmarks.commands.detector import compare_detectors

        return compare_detectors(load_config(args.config, args.overrides), args.vs, axes, settings)
    if args.command == "train":
        from benchmarks.commands.train import compare_training
        from hiera_det.data.catalog import custom_dataset

        if (args.dataset_json is None) != (args.image_root is None):
            raise ValueError("--dataset-json and --image-root go together: give both or neither")
        files = args.dataset_json and custom_dataset(args.dataset_json, args.image_root)
        return compare_training(load_config(args.config, args.overrides), args.vs, axes, settings, files)
    if args.command == "pretrain":
        from benchmarks.commands.pretrain import compare_pretraining

        return compare_pretraining(args.vs, axes, settings)
    if args.command == "features":
        from benchmarks.commands.features import compare_extraction
        from hiera_det.features.config import defaults
        from hiera_det.inputs.find import find_items

        take_keys(args, ["input"], defaults())
        cfg = load_config(args.config, args.overrides, defaults())
        return compare_extraction(cfg, find_items(args.input), args.vs, axes, settings)
    from benchmarks.commands.ava_eval import compare_evaluators

    return compare_evaluators(args.vs, axes, settings)


def main() -> None:
    """Run the subcommand of the command line."""
    args = _parse()
    with user_errors():
        settings = Settings(getattr(args, "device", "cpu"), args.rounds, getattr(args, "profile", None))
        report(_cases(args, settings), settings.device, args.json, args.plot)
