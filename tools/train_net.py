"""Train or evaluate a detector.

    python tools/train_net.py --config configs/mask_rcnn_hiera_b.yaml --num-gpus 8
    python tools/train_net.py --config configs/mask_rcnn_hiera_b.yaml --resume
    python tools/train_net.py --config configs/mask_rcnn_hiera_b.yaml --eval-only MODEL.WEIGHTS model_final.pth
    python tools/train_net.py --config configs/mask_rcnn_hiera_t.yaml --dataset-json train.json val.json \
        --image-root images/train images/val MODEL.ROI_HEADS.NUM_CLASSES 3

Also under torchrun: torchrun --nproc-per-node 8 tools/train_net.py --backend torchvision --config ...
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from hiera_det.cli.backends import BACKENDS, choose_backend, load_backend
from hiera_det.cli.errors import user_errors
from hiera_det.config import CfgNode, load_config
from hiera_det.data.catalog import DatasetFiles, custom_dataset
from hiera_det.engine.options import RunOptions


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--config", "--config-file", metavar="FILE", required=True, help="a YAML file such as those in configs/")
    add(
        "--backend",
        choices=["auto", *BACKENDS],
        default="auto",
        help="whose heads, data and training; auto: detectron2 where it is installed, else torchvision",
    )
    add("--resume", action="store_true", help="continue from OUTPUT_DIR/last_checkpoint, if it is there")
    add("--eval-only", action="store_true", help="evaluate MODEL.WEIGHTS on DATASETS.TEST")
    add(
        "--num-gpus",
        type=int,
        default=0,
        metavar="N",
        help="of each machine; 0: MODEL.DEVICE, or the CPU without a GPU",
    )
    add("--num-machines", type=int, default=1, metavar="N")
    add("--machine-rank", type=int, default=0, metavar="I", help="number of this machine, from 0")
    add("--dist-url", default="auto", metavar="URL", help="tcp://host:port of machine 0, for several machines")
    add(
        "--precision",
        choices=["32", "bf16", "fp16"],
        help="torchvision backend; default: fp16 if SOLVER.AMP.ENABLED on a GPU, else 32",
    )
    add(
        "--accumulate",
        type=int,
        default=1,
        metavar="N",
        help="torchvision backend: split SOLVER.IMS_PER_BATCH into N micro-batches",
    )
    add("--dataset-json", nargs="+", metavar="JSON", help="TRAIN [TEST]; with --eval-only TEST alone will do")
    add("--image-root", nargs="+", metavar="DIR", help="image folders of --dataset-json, one or one for each")
    add("overrides", nargs="*", metavar="KEY VALUE", help="config keys and their values")
    args = parser.parse_intermixed_args(arguments)
    args.backend = choose_backend(args.backend)
    known = load_backend(args.backend).get_cfg()
    jsons, roots = (
        _take_overrides(paths or [], args.overrides, known) for paths in (args.dataset_json, args.image_root)
    )
    if len(jsons) > 2 or (len(roots) != len(jsons) and not (len(roots) == 1 and jsons)):
        parser.error("--dataset-json takes one or two files, --image-root one folder or one for each of them")
    args.dataset_json, args.image_root = jsons, roots
    if len(jsons) == 1 and not args.eval_only:
        args.overrides += ["DATASETS.TEST", "()"]  # the config's test set is of other data
    return args


def _take_overrides(paths: list[str], overrides: list[str], known: CfgNode) -> list[Path]:
    """Paths up to the first config key; argparse gives the key and what follows to the flag that stands before."""
    end = next((i for i, word in enumerate(paths) if _is_key(word, known)), len(paths))
    overrides += paths[end:]
    return [Path(path) for path in paths[:end]]


def _is_key(word: str, known: CfgNode) -> bool:
    node = known
    for name in word.split("."):
        if not isinstance(node, CfgNode) or name not in node:
            return False
        node = node[name]
    return not isinstance(node, CfgNode)


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
    cfg = load_config(args.config, args.overrides, backend.get_cfg())
    train_files, test_files = datasets(args)
    options = RunOptions(
        args.num_gpus, args.num_machines, args.machine_rank, args.dist_url, args.precision, args.accumulate
    )
    if args.eval_only:
        backend.evaluate(cfg, options, test_files=test_files)
    else:
        backend.train(cfg, options, resume=args.resume, train_files=train_files, test_files=test_files)


if __name__ == "__main__":
    with user_errors():
        main()
