"""Pretrain a Hiera on images or videos without labels, as a masked autoencoder.

    hiera-det pretrain --config mae_small --input photos/
    hiera-det pretrain --config mae_hiera_b --input photos/ --test-input held_out/ --num-gpus 8
    hiera-det pretrain --config mae_hiera_b_16x4 --input "videos/**/*.mp4" --every 5 --num-gpus 8
    hiera-det pretrain --config mae_hiera_b --input photos/ --num-gpus 8 --resume
    hiera-det evaluate --weights output/mae_hiera_b DATASETS.TEST "('held_out/',)"

An input is an image, a folder, a glob in quotes, a list of paths (.txt), a COCO JSON, or WebDataset shards (.tar, also
"train-{000..012}.tar"); for a video variant (*_16x224) a video, or a folder, glob or list of videos. Detectors, action
detectors and extractors take the result, OUTPUT_DIR/model_final.pth, as MODEL.WEIGHTS.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from hiera_det.cli.parser import CommandParser
from hiera_det.cli.run_options import (
    add_input_options,
    add_run_options,
    add_training_options,
    input_overrides,
    run_options,
)
from hiera_det.config import find_config
from hiera_det.tasks import build_task, defaults_of, load_run_config, task_of
from hiera_det.utils.logs import show_log

__all__ = ["main", "parse"]

TASK = "pretraining"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(__doc__)
    run = add_training_options(parser).add_argument
    run(
        "--weights",
        metavar="SOURCE",
        help="a Hiera to start from, with a decoder or without; default: MODEL.WEIGHTS",
    )
    run("--output", metavar="DIR", help="output folder instead of OUTPUT_DIR")
    add_input_options(parser)
    add_run_options(parser, training=True, backend=False)
    parser.add_overrides()
    return parser.parse_with_keys(arguments, lambda _: defaults_of(TASK))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run."""
    show_log()
    args = parse(arguments)
    path = find_config(args.config)
    if (task := task_of(path)) != TASK:
        raise ValueError(f"{path} is a config of the task {task!r}; expected one of {TASK!r}, such as mae_hiera_b")
    words = [*args.overrides, *input_overrides(args)]
    for key, value in ("MODEL.WEIGHTS", args.weights), ("OUTPUT_DIR", args.output):
        words += [key, value] if value else []
    from hiera_det.engine import run

    cfg = load_run_config(path, words, defaults_of(TASK), resume=args.resume)
    run.train(build_task(cfg), run_options(args), resume=args.resume)
