"""The options of every command that trains: which config, how many processes, in which precision."""

from __future__ import annotations

import argparse

from hiera_det.engine.options import RunOptions

__all__ = ["add_run_options", "run_options"]


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to a parser, and ``KEY VALUE`` words that override the config."""
    add = parser.add_argument
    add("--config", "--config-file", metavar="FILE", required=True, help="a YAML file such as those in configs/")
    add("--resume", action="store_true", help="continue from OUTPUT_DIR/last_checkpoint, if it is there")
    add("--eval-only", action="store_true", help="evaluate MODEL.WEIGHTS on DATASETS.TEST")
    add("--num-gpus", type=int, default=0, metavar="N", help="of each machine; 0: MODEL.DEVICE, or the CPU")
    add("--num-machines", type=int, default=1, metavar="N")
    add("--machine-rank", type=int, default=0, metavar="I", help="number of this machine, from 0")
    add("--dist-url", default="auto", metavar="URL", help="tcp://address:port of machine 0, for several machines")
    add("--precision", choices=["32", "bf16", "fp16"], help="default: fp16 if SOLVER.AMP.ENABLED on a GPU, else 32")
    add("--accumulate", type=int, default=1, metavar="N", help="split SOLVER.IMS_PER_BATCH into N micro-batches")
    add("overrides", nargs="*", metavar="KEY VALUE", help="config keys and their values")


def run_options(args: argparse.Namespace) -> RunOptions:
    """How to run, as the parsed options say."""
    return RunOptions(
        args.num_gpus, args.num_machines, args.machine_rank, args.dist_url, args.precision, args.accumulate
    )
