"""Train a detector or an action detector.

    hiera-det train --config mask_rcnn_hiera_b --num-gpus 8
    hiera-det train --config mask_rcnn_hiera_b --num-gpus 8 --resume
    hiera-det train --config mask_rcnn_sam2.1_t --data my_data
    hiera-det train --config mask_rcnn_hiera_t --dataset-json train.json val.json --image-root images/train images/val
    hiera-det train --config ava/hiera_l_16x4 --num-gpus 8

The config names the task. Also under torchrun: torchrun --nproc-per-node 8 -m hiera_det train --backend torchvision
--config ... On detectron2 there are no --precision and --accumulate.
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
    add_training_options,
    check_data_options,
    given_datasets,
    run_options,
)
from hiera_det.config import CfgNode, find_config, get_cfg
from hiera_det.tasks import build_task, defaults_of, load_run_config, read_data, task_of
from hiera_det.utils.logs import show_log

__all__ = ["main", "parse"]


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(__doc__)
    run = add_training_options(parser)
    run.add_argument("--eval-only", action="store_true", help="evaluate MODEL.WEIGHTS on DATASETS.TEST, do not train")
    run.add_argument(
        "--epochs", type=float, metavar="N", help="the same as SOLVER.MAX_EPOCHS N: passes over the images"
    )
    add_data_options(parser, "TRAIN [TEST]; with --eval-only TEST alone will do")
    add_run_options(parser, training=True)
    parser.add_overrides()
    args = parser.parse_with_keys(arguments, lambda _: get_cfg())
    check_data_options(parser, args, most=2)
    if args.epochs is not None:
        args.overrides += ["SOLVER.MAX_EPOCHS", args.epochs]
    return args


def _defaults(task: str, backend: str) -> CfgNode:
    if task == "detection" and backend == "detectron2":
        return load_detectron2().defaults()
    return defaults_of(task)


def main(arguments: Sequence[str] | None = None, task: str = "detection") -> None:
    """Run; ``task``: of configs that name none."""
    show_log()
    args = parse(arguments)
    path = find_config(args.config)
    task = task_of(path, task)
    backend = choose_backend(args.backend) if task == "detection" else "torchvision"
    if task == "detection":
        print(f"backend: {backend}", file=sys.stderr)
    elif args.backend == "detectron2":
        raise ValueError(f"{path} is of the task {task!r}, for which there is no detectron2 backend")
    defaults = _defaults(task, backend)
    resume = args.resume and not args.eval_only
    files = given_datasets(args)
    train_files = files[0] if files and not args.eval_only else None
    test_files = files[-1] if len(files) == 2 or (files and args.eval_only) else None
    cfg = load_run_config(
        *(path, args.overrides, defaults, train_files, test_files),
        data=read_data(args.data, defaults),
        training=not args.eval_only,
        resume=resume,
    )
    if backend == "detectron2":
        detectron2 = load_detectron2()
        if args.eval_only:
            detectron2.evaluate(cfg, run_options(args))
        else:
            detectron2.train(cfg, run_options(args), resume=resume)
        return
    from hiera_det.engine import run

    its = build_task(cfg)
    if args.eval_only:
        run.evaluate(its, run_options(args))
    else:
        run.train(its, run_options(args), resume=resume)
