"""Options that training and evaluation share: devices, machines, backend, one's own data."""

from __future__ import annotations

import argparse
from typing import Any

from hiera_det.cli.backends import BACKENDS
from hiera_det.cli.parser import CommandParser, Group
from hiera_det.data.catalog import DatasetFiles, custom_dataset
from hiera_det.engine.options import RunOptions

__all__ = [
    "add_data_options",
    "add_input_options",
    "add_run_options",
    "add_training_options",
    "check_data_options",
    "given_datasets",
    "input_overrides",
    "run_options",
]


def add_training_options(parser: CommandParser) -> Group:
    """Add a group with the options that name a training; more may follow in it."""
    group = parser.add_argument_group("run")
    group.add_argument(
        "--config",
        "--config-file",
        metavar="FILE",
        required=True,
        help="a YAML file, or the name of a shipped one: `hiera-det configs` lists them",
    )
    group.add_argument("--resume", action="store_true", help="continue from OUTPUT_DIR/last_checkpoint, if it is there")
    return group


def add_run_options(parser: CommandParser, *, training: bool, backend: bool = True) -> None:
    """Add the options of devices and machines; in training those of how a step is computed too.

    Args:
        parser: to add them to.
        training: whether a model is trained.
        backend: whether there is a choice of backends.
    """
    group = parser.add_argument_group("devices")
    add = group.add_argument
    add("--num-gpus", type=int, default=0, metavar="N", help="GPUs of each machine; 0: MODEL.DEVICE, or the CPU (0)")
    add("--num-machines", type=int, default=1, metavar="N", help="machines (1)")
    add("--machine-rank", type=int, default=0, metavar="I", help="number of this machine, from 0 (0)")
    add("--dist-url", default="auto", metavar="URL", help="tcp://address:port of machine 0, for several machines")
    if training:
        add(
            "--precision",
            choices=["32", "bf16", "fp16"],
            help="precision; default: fp16 if SOLVER.AMP.ENABLED on a GPU, else 32",
        )
        add("--accumulate", type=int, default=1, metavar="N", help="split a batch into N parts, to save memory (1)")
    if not backend:
        return
    add(
        "--backend",
        choices=["auto", *BACKENDS],
        default="auto",
        help="library of a detector's heads, data and training; auto: detectron2 if installed, else torchvision (auto)",
    )


def run_options(args: argparse.Namespace) -> RunOptions:
    """How to run, as the parsed options say."""
    return RunOptions(
        args.num_gpus,
        args.num_machines,
        args.machine_rank,
        args.dist_url,
        getattr(args, "precision", None),
        getattr(args, "accumulate", 1),
    )


def add_data_options(parser: CommandParser, files: str) -> None:
    """Add the options of one's own data, for detectors."""
    group = parser.add_argument_group("your own data, for detectors")
    group.add_argument(
        "--data",
        metavar="PATH",
        help="a folder or file: COCO, YOLO, Pascal VOC, LabelMe, a CSV of boxes, images/ and masks/",
    )
    parser.add_list(group, "--dataset-json", metavar="JSON", help=f"COCO-format annotations: {files}")
    parser.add_list(group, "--image-root", metavar="DIR", help="image folders of --dataset-json, one or one for each")


def check_data_options(parser: CommandParser, args: argparse.Namespace, *, most: int) -> None:
    """End the process where files and folders of images do not belong together."""
    jsons, roots = args.dataset_json, args.image_root
    if args.data is not None and (jsons or roots):
        parser.error("--data names all of the data: give it or --dataset-json and --image-root")
    if len(jsons) > most or (len(roots) != len(jsons) and not (len(roots) == 1 and jsons)):
        files = "one or two files" if most == 2 else "one file"
        parser.error(f"--dataset-json takes {files}, --image-root one folder or one for each of them")


def add_input_options(parser: CommandParser) -> None:
    """Add the options of images and videos without labels, for pretraining."""
    group = parser.add_argument_group("images or videos, for pretraining")
    parser.add_list(group, "--input", metavar="PATH", help="to train on; default: DATASETS.TRAIN")
    parser.add_list(group, "--test-input", metavar="PATH", help="held out; default: DATASETS.TEST")
    group.add_argument(
        "--image-root", metavar="DIR", help="image folder of COCO JSONs; default: as COCO's layout has it"
    )
    group.add_argument("--every", type=float, metavar="S", help="seconds between the clips of a video")


def input_overrides(args: argparse.Namespace) -> list[Any]:
    """Config keys and values of these options, as far as they are given."""
    values = {
        "TRAIN": tuple(args.input),
        "TEST": tuple(args.test_input),
        "IMAGE_ROOT": args.image_root,
        "EVERY": args.every,
    }
    return [word for name, value in values.items() if value not in (None, ()) for word in (f"DATASETS.{name}", value)]


def given_datasets(args: argparse.Namespace) -> list[DatasetFiles]:
    """The datasets that the options name.

    Raises:
        FileNotFoundError: a file or folder is not there.
    """
    if not args.dataset_json:
        return []
    roots = args.image_root * (len(args.dataset_json) // len(args.image_root))
    return [custom_dataset(*pair) for pair in zip(args.dataset_json, roots, strict=True)]
