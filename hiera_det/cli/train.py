"""Train or evaluate a detector.

    python tools/train_net.py --config configs/mask_rcnn_hiera_b.yaml --num-gpus 8
    python tools/train_net.py --config configs/mask_rcnn_hiera_b.yaml --resume
    python tools/train_net.py --config configs/mask_rcnn_hiera_b.yaml --eval-only MODEL.WEIGHTS model_final.pth
    python tools/train_net.py --config configs/mask_rcnn_hiera_t.yaml --dataset-json train.json val.json \
        --image-root images/train images/val MODEL.ROI_HEADS.NUM_CLASSES 3

Also under torchrun: torchrun --nproc-per-node 8 tools/train_net.py --backend torchvision --config ...
--precision and --accumulate are the torchvision backend's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from hiera_det.cli.backends import BACKENDS, choose_backend, load_backend
from hiera_det.cli.overrides import take_overrides
from hiera_det.cli.run_options import add_run_options, run_options
from hiera_det.config import load_config
from hiera_det.data.catalog import DatasetFiles, custom_dataset


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_run_options(parser)
    add = parser.add_argument
    add(
        "--backend",
        choices=["auto", *BACKENDS],
        default="auto",
        help="whose heads, data and training; auto: detectron2 where it is installed, else torchvision",
    )
    add("--dataset-json", nargs="+", metavar="JSON", help="TRAIN [TEST]; with --eval-only TEST alone will do")
    add("--image-root", nargs="+", metavar="DIR", help="image folders of --dataset-json, one or one for each")
    args = parser.parse_intermixed_args(arguments)
    args.backend = choose_backend(args.backend)
    take_overrides(args, load_backend(args.backend).defaults(), "dataset_json", "image_root")
    jsons, roots = args.dataset_json, args.image_root
    if len(jsons) > 2 or (len(roots) != len(jsons) and not (len(roots) == 1 and jsons)):
        parser.error("--dataset-json takes one or two files, --image-root one folder or one for each of them")
    if len(jsons) == 1 and not args.eval_only:
        args.overrides += ["DATASETS.TEST", "()"]  # the config's test set is of other data
    return args


def datasets(args: argparse.Namespace) -> tuple[DatasetFiles | None, DatasetFiles | None]:
    """Training and test set that the flags name; None where the config names them."""
    if not args.dataset_json:
        return None, None
    roots = args.image_root * (len(args.dataset_json) // len(args.image_root))
    files = [custom_dataset(*pair) for pair in zip(args.dataset_json, roots, strict=True)]
    if args.eval_only:
        return None, files[-1]
    return files[0], files[1] if len(files) == 2 else None


def main(arguments: Sequence[str] | None = None) -> None:
    """Run."""
    args = parse(arguments)
    backend = load_backend(args.backend)
    print(f"backend: {args.backend}", file=sys.stderr)
    cfg = load_config(args.config, args.overrides, backend.defaults())
    train_files, test_files = datasets(args)
    if args.eval_only:
        backend.evaluate(cfg, run_options(args), test_files=test_files)
    else:
        backend.train(cfg, run_options(args), resume=args.resume, train_files=train_files, test_files=test_files)
