"""Train or evaluate an action detector.

    python projects/ava/train_net.py --config projects/ava/configs/hiera_l_16x4.yaml --num-gpus 8
    python projects/ava/train_net.py --config projects/ava/configs/hiera_l_16x4.yaml --resume
    python projects/ava/train_net.py --config projects/ava/configs/hiera_l_16x4.yaml --eval-only MODEL.WEIGHTS model_final.pth

Also under torchrun: torchrun --nproc-per-node 8 projects/ava/train_net.py --config ...
"""  # noqa: E501

from __future__ import annotations

import argparse
from collections.abc import Sequence

from hiera_det.cli.run_options import add_run_options, run_options
from hiera_det.config import load_config
from hiera_det.engine.run import evaluate, train
from hiera_det.projects.ava.config import defaults
from hiera_det.projects.ava.task import ActionTask


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_run_options(parser)
    return parser.parse_intermixed_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run."""
    args = parse(arguments)
    cfg = load_config(args.config, args.overrides, defaults())
    if args.eval_only:
        evaluate(ActionTask(cfg), run_options(args))
    else:
        train(ActionTask(cfg), run_options(args), resume=args.resume)
