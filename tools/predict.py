"""Detect on an image, a folder of images or a video.

    python tools/predict.py --config output/quickstart/config.yaml --weights output/quickstart/model_final.pth \
        --input photo.jpg --output predictions

Writes drawn pictures and predictions.json (COCO results with file_name; image_id: the file's name where all names are
numbers, else its place in alphabetical order; in a video the frame).
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence

from hiera_det.cli import user_errors
from hiera_det.config import load_config
from hiera_det.hosts.torchvision.predict import predict
from hiera_det.hosts.torchvision.predictor import Predictor


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add(
        "--config", "--config-file", metavar="FILE", required=True, help="the config that the detector was trained with"
    )
    add("--weights", metavar="FILE", help="a checkpoint; default: MODEL.WEIGHTS")
    add("--input", metavar="PATH", required=True, help="an image, a folder of images or a video")
    add("--output", metavar="DIR", required=True)
    add("--score-threshold", type=float, default=0.5, metavar="S", help="0-1: detections below are left out (0.5)")
    add("overrides", nargs="*", metavar="KEY VALUE", help="config keys and their values")
    args = parser.parse_intermixed_args(arguments)
    if not 0 <= args.score_threshold <= 1:
        parser.error(f"--score-threshold {args.score_threshold}: expected 0 to 1")
    return args


def main(arguments: Sequence[str] | None = None) -> None:
    """Run."""
    args = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    weights = ["MODEL.WEIGHTS", args.weights] if args.weights else []
    threshold = ["MODEL.ROI_HEADS.SCORE_THRESH_TEST", str(args.score_threshold)]
    cfg = load_config(args.config, [*args.overrides, *weights, *threshold])
    predict(Predictor(cfg), args.input, args.output)


if __name__ == "__main__":
    with user_errors():
        main()
