"""Train or evaluate an action detector.

    python projects/ava/train_net.py --config projects/ava/configs/hiera_l_16x4.yaml --num-gpus 8
    python projects/ava/train_net.py --config projects/ava/configs/hiera_l_16x4.yaml --resume
    python projects/ava/train_net.py --config projects/ava/configs/hiera_l_16x4.yaml --eval-only MODEL.WEIGHTS model_final.pth

Also under torchrun: torchrun --nproc-per-node 8 projects/ava/train_net.py --config ...
"""  # noqa: E501

from __future__ import annotations

import argparse
from collections.abc import Sequence

from hiera_det.projects.ava.config import get_cfg
from hiera_det.projects.ava.task import ActionTask

from hiera_det.cli.errors import user_errors
from hiera_det.config import load_config
from hiera_det.engine.options import RunOptions
from hiera_det.engine.run import evaluate, train


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--config", "--config-file", metavar="FILE", required=True, help="a YAML file such as those in configs/")
    add("--resume", action="store_true", help="continue from OUTPUT_DIR/last_checkpoint, if it is there")
    add("--eval-only", action="store_true", help="evaluate MODEL.WEIGHTS on DATASETS.TEST")
    add("--num-gpus", type=int, default=0, metavar="N", help="of each machine; 0: MODEL.DEVICE, or the CPU")
    add("--num-machines", type=int, default=1, metavar="N")
    add("--machine-rank", type=int, default=0, metavar="I", help="number of this machine, from 0")
    add("--dist-url", default="auto", metavar="URL", help="tcp://host:port of machine 0, for several machines")
    add("--precision", choices=["32", "bf16", "fp16"], help="default: fp16 if SOLVER.AMP.ENABLED on a GPU, else 32")
    add("--accumulate", type=int, default=1, metavar="N", help="split SOLVER.IMS_PER_BATCH into N micro-batches")
    add("overrides", nargs="*", metavar="KEY VALUE", help="config keys and their values")
    return parser.parse_intermixed_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run."""
    args = parse(arguments)
    cfg = load_config(args.config, args.overrides, get_cfg())
    options = RunOptions(
        args.num_gpus, args.num_machines, args.machine_rank, args.dist_url, args.precision, args.accumulate
    )
    if args.eval_only:
        evaluate(ActionTask(cfg), options)
    else:
        train(ActionTask(cfg), options, resume=args.resume)


if __name__ == "__main__":
    with user_errors():
        main()
