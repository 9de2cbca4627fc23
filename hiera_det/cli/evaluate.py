"""Evaluate a trained detector or action detector.

    hiera-det evaluate --weights output/quickstart
    hiera-det evaluate --weights output/run --data my_data
    hiera-det evaluate --weights model_final.pth --dataset-json val.json --image-root images/val --output evaluation
    hiera-det evaluate --weights output/ava/quickstart/model_final.pth TEST.PROTOCOL official2019

The weights tell task, config and classes. A table is printed; metrics, results and drawings are in OUTPUT/inference.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from hiera_det.cli.backends import choose_backend, load_detectron2
from hiera_det.cli.parser import CommandParser
from hiera_det.cli.run_options import (
    add_data_options,
    add_run_options,
    check_data_options,
    given_datasets,
    run_options,
)
from hiera_det.config import get_cfg
from hiera_det.tasks import build_task, defaults_of, load_evaluation_config, read_data
from hiera_det.utils.logs import show_log
from hiera_det.weights.trained import read_trained

__all__ = ["main", "parse"]


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(__doc__)
    model = parser.add_argument_group("model")
    model.add_argument(
        "--weights",
        metavar="SOURCE",
        required=True,
        help="a checkpoint, a run's folder, what save_pretrained wrote, a URL or hf://owner/name",
    )
    model.add_argument(
        "--config",
        "--config-file",
        metavar="FILE",
        help="config to use instead of the one in the weights (files of 0.1.0 need it)",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output",
        metavar="DIR",
        help="folder that gets inference/; default: the run's folder, or the config's OUTPUT_DIR",
    )
    add_data_options(parser, "the test set; default: DATASETS.TEST")
    add_run_options(parser, training=False)
    parser.add_overrides()
    args = parser.parse_with_keys(arguments, lambda _: get_cfg())
    check_data_options(parser, args, most=1)
    return args


def main(arguments: Sequence[str] | None = None) -> None:
    """Run."""
    show_log()
    args = parse(arguments)
    trained = read_trained(args.weights)
    backend = choose_backend(args.backend) if trained.task == "detection" else "torchvision"
    if trained.task == "detection":
        print(f"backend: {backend}", file=sys.stderr)
    test_files = next(iter(given_datasets(args)), None)
    detectron2 = load_detectron2() if backend == "detectron2" else None
    defaults = detectron2.defaults() if detectron2 else defaults_of(trained.task)
    cfg = load_evaluation_config(
        *(trained, args.weights, defaults),
        config=args.config,
        overrides=args.overrides,
        output_dir=args.output,
        test_files=test_files,
        data=read_data(args.data, defaults),
    )
    if detectron2:
        detectron2.evaluate(cfg, run_options(args))
        return
    from hiera_det.engine import run

    run.evaluate(build_task(cfg), run_options(args))
